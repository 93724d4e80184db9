"""All greenlets of a process, against what the process says of them from inside; on two releases of greenlet each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deep.greenlet_relations import Facts
from deep.greenlets import compare, measure
from dumps import gdb_core
from environments import Environment, EnvironmentFailedError, environment_for, other_gevent_for
from harness import TARGETS, running, wait_until_at_rest
from interpreters import Interpreter
from lastwords.capture import procfs
from lastwords.capture.snapshot.write import write_snapshot
from lastwords.examine import Options, attach_process
from lastwords.examine.core import read_core_report
from lastwords.examine.snapshot import take_snapshot
from lastwords.frames import python_frames
from lastwords.greenlets import module, search
from lastwords.model import Report
from needs import lack

PROGRAMS = 12
SEED = 20262
WITHOUT_C = Options(native=False)
pytestmark = pytest.mark.interpreters("!free_threaded")


@pytest.fixture(params=["usual main", "usual forked", "other inside"])
def release(request: pytest.FixtureRequest) -> str:
    """Which environment, and where in the program the greenlets are told of."""
    return str(request.param)


@pytest.fixture
def environment(release: str, interpreter: Interpreter, gevent_environment: Environment) -> Environment:
    """The interpreter's environment with gevent, or another one with an older or newer greenlet."""
    other = other_gevent_for(interpreter)
    if release.startswith("usual") or other is None:
        return gevent_environment
    try:
        return environment_for(interpreter, *other)
    except EnvironmentFailedError as error:
        lack(f"another greenlet for {interpreter.name}: {error}")


@pytest.fixture
def plain(release: str, environment: Environment) -> Iterator[Facts]:
    """A program with greenlets of every kind: what it says of them."""
    command: list[str | Path] = [environment.python, TARGETS / "greenlets_plain.py", release.split()[1]]
    with running(command, env=environment.env) as target:
        facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
        target.wait_for("ready")
        wait_until_at_rest(target.pid, facts["pid"])
        yield facts


def test_every_greenlet_is_as_it_says_itself(plain: Facts) -> None:
    before = read_kept(plain["pid"])
    report = attach_process(plain["pid"], Options(native_each=True))
    assert read_kept(plain["pid"]) == before
    assert report.moments[0].capture.problems == []
    assert compare(report, plain) == []
    assert len(plain["greenlets"]) > 30
    check_c_stacks(report)


def check_c_stacks(report: Report) -> None:
    """Each suspended greenlet is inside greenlet's switch, and was begun by greenlet; what is between is in order."""
    suspended = [one for one in report.greenlets if one.state == "suspended" and one.stack and one.thread]
    assert len(suspended) > 20
    for one in suspended:
        names = [(frame.function or "").partition(".")[0] for frame in one.stack]
        assert names[0] == "slp_switch", names
        assert one.native_stack is None
        if not one.is_main:
            assert "g_initialstub" in names[-3:], names
    name = "through_c"
    stacks = [one.stack for one in suspended if python_frames(one.stack)[-1].function == name]
    assert stacks
    for stack in stacks:
        at = [frame.function for frame in stack].index(name)
        between = [frame for frame in stack[:at] if frame.kind == "native"]
        assert between
        names = [frame.function or "" for frame in stack[:at]]
        if any("builtin_sorted" in one for one in names):  # not of a stripped interpreter
            order = ["slp_switch", "wait_here", "<lambda>", next(one for one in names if "sort" in one)]
            assert [names.index(one) for one in order] == sorted(names.index(one) for one in order), names


@pytest.mark.interpreters(minors=("2.7", "3.12"))
@pytest.mark.parametrize("release", ["usual main"], indirect=True)
def test_a_reader_that_is_wrong_is_found_out(plain: Facts) -> None:
    facts = plain
    report = attach_process(facts["pid"], WITHOUT_C)
    suspended = next(one for one in report.greenlets if one.state == "suspended" and one.parent)
    suspended.stack[0].line = -1
    suspended.parent = suspended.name = suspended.thread = "another"
    report.greenlets.remove(next(one for one in report.greenlets if one.state == "dead"))
    next(one for one in report.greenlets if one.state == "unstarted").state = "suspended"
    found = "\n".join(compare(report, facts))
    for what in ("not found", "line -1", "parent", "name", "thread", "state"):
        assert what in found, found


def read_kept(pid: int) -> dict[str, str]:
    """What a search could have changed: page tables, swap."""
    lines = dict(line.split(":", 1) for line in procfs.read_text(pid, "status").splitlines())
    return {name: lines[name].strip() for name in ("VmPTE", "VmSwap")}


@pytest.mark.interpreters(minors=("3.8", "3.12"))
@pytest.mark.parametrize("release", ["usual main", "other inside"], indirect=True)
def test_other_ways_lead_to_the_same_greenlets(plain: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module without names; a release that is not in the table, by its DWARF; and one that is not known at all."""
    with monkeypatch.context() as stripped:
        stripped.setattr(search, "_find_tables", lambda _: None)
        assert compare(attach_process(plain["pid"], WITHOUT_C), plain) == []
    monkeypatch.setattr(module, "find_layout", lambda *_: None)
    assert compare(attach_process(plain["pid"], WITHOUT_C), plain) == []
    monkeypatch.setattr(module, "_read_layout", lambda _: None)
    report = attach_process(plain["pid"], WITHOUT_C)
    assert report.greenlets == []
    version = report.processes[0].libraries["greenlet"]
    (problem,) = report.moments[0].capture.problems
    python = (report.processes[0].python.version or "").rpartition(".")[0] if report.processes[0].python else ""
    assert problem == f"greenlets: greenlet {version} on CPython {python} is not known to this lastwords"
    assert report.threads[0].stack


@pytest.mark.interpreters(minors=("2.7", "3.11", "3.14"))
@pytest.mark.parametrize("release", ["usual main"], indirect=True)
def test_cores_and_snapshots_have_the_same_greenlets(plain: Facts, tmp_path: Path) -> None:
    core = gdb_core(plain["pid"], tmp_path / "core")
    snapshot = tmp_path / "snapshot"
    taken = take_snapshot(plain["pid"], Options(native_each=True))
    with snapshot.open("wb") as file:
        write_snapshot(taken.captured, taken.owner, taken.note, file)
    for path in (core, snapshot):
        report = read_core_report(path, None, Options(native_each=True))
        assert compare(report, plain) == []
        check_c_stacks(report)


def test_generated_programs_are_read_as_they_describe_themselves(
    interpreter: Interpreter, gevent_environment: Environment
) -> None:
    measured = measure(interpreter.name, gevent_environment, range(SEED, SEED + PROGRAMS), WITHOUT_C)
    assert measured.failures == []
    assert measured.programs == PROGRAMS
    assert measured.greenlets > 5 * PROGRAMS
    assert measured.frames > 10 * PROGRAMS
