"""What greenlets wait for and hold, against what the program says of each of them from inside."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deep.greenlet_relations import Facts, compare_relations
from environments import Environment, EnvironmentFailedError, environment_for, gevent_for, other_gevent_for
from harness import TARGETS, running, wait_until_at_rest
from interpreters import Interpreter
from lastwords.examine import Options, attach_process
from lastwords.model import Greenlet
from needs import lack

WITHOUT_C = Options(native=False)
AHEAD = 1000.0  # seconds: the program's
# gevent's other loops: libuv, and libev by way of CFFI
LOOPS = {"libuv": "libuv-cffi", "libev": "libev-cffi"}
CRASHES = ("3.7",)  # gevent 1.4.0 crashes with the greenlet that is beside it there: it was built for an older one
pytestmark = pytest.mark.interpreters("!free_threaded")


@pytest.fixture(params=["plain usual", "patched usual", "plain other"])
def way(request: pytest.FixtureRequest) -> str:
    """How the program is made, and with which gevent."""
    return str(request.param)


@pytest.fixture
def environment(way: str, interpreter: Interpreter, gevent_environment: Environment) -> Environment:
    """The interpreter's environment with gevent, or one with an older or newer gevent."""
    if way.split()[1] in LOOPS:
        return _build(interpreter, *gevent_for(interpreter), "cffi")
    other = other_gevent_for(interpreter)
    is_one = way.endswith("usual") or interpreter.minor in CRASHES
    if is_one or other is None or not any(one.startswith("gevent") for one in other):
        return gevent_environment
    return _build(interpreter, *other)


def _build(interpreter: Interpreter, *requirements: str) -> Environment:
    try:
        return environment_for(interpreter, *requirements)
    except EnvironmentFailedError as error:
        lack(f"another gevent for {interpreter.name}: {error}")


@pytest.fixture
def facts(way: str, environment: Environment) -> Iterator[Facts]:
    """A program whose greenlets wait: what it says of them."""
    how, which = way.split()
    command: list[str | Path] = [environment.python, TARGETS / "greenlet_waits.py", how]
    loop = {"GEVENT_LOOP": LOOPS[which]} if which in LOOPS else {}
    before = time.time()
    with running(command, env={**environment.env, **loop}) as target:
        found = json.loads(target.wait_for("facts ").removeprefix("facts "))
        target.wait_for("ready")
        wait_until_at_rest(target.pid)
        found["since"] = (before, time.time())
        for truth in found["waits"].values():
            truth["since"] = found["since"]
        yield found


def test_every_wait_is_as_the_program_says(way: str, facts: Facts) -> None:
    report = attach_process(facts["pid"], WITHOUT_C)
    assert list(compare_relations(report, facts)) == []
    assert report.moments[0].capture.problems == []
    [hub] = report.hubs
    assert (hub.state, hub.complete, hub.others) == ("polling", True, facts["others"])
    assert hub.signals == ([] if "patched" in way else ["SIGUSR2"])
    timed = [wait for wait in facts["waits"].values() if wait["timed"]]
    sockets = [wait for wait in facts["waits"].values() if wait["kind"] == "io"]
    assert (hub.counts["timers"], hub.counts["watchers"], hub.callbacks) == (len(timed), len(sockets), [])
    assert len(hub.timers) == len(timed)


@pytest.mark.interpreters(minors=("3.8", "3.11", "3.13"))
@pytest.mark.parametrize("way", ["plain libuv", "plain libev", "patched libuv"], indirect=True)
def test_the_same_of_loops_by_way_of_cffi(way: str, facts: Facts) -> None:
    report = attach_process(facts["pid"], WITHOUT_C)
    [hub] = report.hubs
    assert LOOPS[way.split()[1]].removesuffix("-cffi") in (hub.loop or "")
    assert list(compare_relations(report, facts)) == []
    assert (hub.state, hub.complete, hub.others) == ("polling", True, facts["others"])
    assert hub.signals == ([] if "patched" in way else ["SIGUSR2"])
    timed = sum(wait["timed"] for wait in facts["waits"].values())
    assert hub.counts["timers"] == len(hub.timers) == timed
    assert all(0 < float(one.split()[1]) <= AHEAD for one in hub.timers)
    assert hub.since_s is not None
    assert 0 <= hub.since_s < time.time() - facts["since"][0]


@pytest.mark.interpreters(minors=("2.7", "3.13"))
@pytest.mark.parametrize("way", ["plain usual"], indirect=True)
def test_a_reader_that_is_wrong_is_found_out(facts: Facts) -> None:
    report = attach_process(facts["pid"], WITHOUT_C)
    by_kind: dict[str, Greenlet] = {one.waits_for.kind: one for one in report.greenlets if one.waits_for}
    for kind, change in (("event", "target"), ("sleep", "until"), ("queue", "kind"), ("join", "target")):
        wait = by_kind[kind].waits_for
        assert wait is not None
        if change == "until":
            wait.until = 0.0
        else:
            setattr(wait, change, "hub" if change == "kind" else "moment-1-object-1")
    report.edges = [edge for edge in report.edges if edge.kind != "holds"]
    found = "\n".join(compare_relations(report, facts))
    for what in ("target", "until", "kind", "holds"):
        assert what in found, found
