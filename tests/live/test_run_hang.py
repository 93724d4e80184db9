"""`lastwords run --timeout` and `--hang-after`: what hangs is read and told, and what was asked for is done."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pexpect
import pytest

import lastwords
from environments import EnvironmentFailedError, environment_for
from harness import TARGETS, Target, running, wait_until
from interpreters import Interpreter
from lastwords.capture import procfs
from lastwords.capture.launch import Child
from lastwords.cli import main
from lastwords.model import Moment, Report
from lastwords.watch import hung
from needs import lack
from survival import Trial, in_arena

GOLDEN = Path(__file__).parents[1] / "golden"
RUN = [sys.executable, "-m", "lastwords", "run"]
SEED = int(os.environ.get("LASTWORDS_SEED", "7"))
KILLS = int(os.environ.get("LASTWORDS_KILLS", "4"))
ONE = pytest.mark.interpreters("symbols", minors=("3.11",))


@contextmanager
def run(
    python: Interpreter, folder: Path, options: str, *how: str, env: dict[str, str] | None = None
) -> Iterator[Target]:
    """Under lastwords: tests/targets/hangs.py; the report will be in `folder`, which is the working directory."""
    words = [*options.split(), "--json", "report.json", "--", str(python.path), str(TARGETS / "hangs.py"), *how]
    with running([*RUN, *words], cwd=folder, env=env) as target:
        yield target


def read(folder: Path) -> Report:
    return lastwords.load(folder / "report.json")


def hangs(report: Report) -> list[Moment]:
    return [moment for moment in report.moments if moment.reason == "hang"]


def family(target: Target) -> list[int]:
    """Those below lastwords that run the program."""
    found = [pid for pid in pids() if "hangs.py" in " ".join(read_argv(pid)[1:2])]
    return [pid for pid in found if target.pid in ancestors(pid)]


def pids() -> list[int]:
    return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]


def read_argv(pid: int) -> list[str]:
    try:
        return procfs.read_cmdline(pid)
    except (OSError, procfs.ProcessGoneError):
        return []


def ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        try:
            pid = procfs.read_status(pid).ppid
        except (OSError, procfs.ProcessGoneError):
            return


def is_running(pid: int) -> bool:
    """Not one that waits for its parent to notice its end."""
    try:
        return procfs.read_status(pid).state not in "ZX"
    except (OSError, procfs.ProcessGoneError):
        return False


def is_watched(pid: int) -> bool:
    """Whether gdb has each of its threads."""
    tracers = {procfs.read_status(tid, Path(f"/proc/{pid}/task")).tracer_pid for tid in procfs.read_tasks(pid)}
    return len(tracers) == 1 and 0 not in tracers


@pytest.mark.interpreters(minors=("2.7", "3.8", "3.11", "3.13", "3.14", "3.15"))
def test_told_at_its_hang_and_watched_again(interpreter: Interpreter, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with run(interpreter, tmp_path, "--no-agent --hang-after 1", "exit", str(gate)) as target:
        wait_until(lambda: "it goes on" in target.stderr.text, "the hang is told")
        at_hang = read(tmp_path)
        (pid,) = family(target)
        wait_until(lambda: is_watched(pid), "gdb has it again")
        gate.touch()
        assert target.wait() == 5
    assert target.stdout.text == "ready\n"
    said = target.stderr.text.splitlines()
    assert said[0].startswith("the exit waits for thread wait_for_file")
    assert f"lastwords: process {pid} got nowhere in 1 s on its way out (--hang-after); it goes on" in said

    assert [one.reason for one in at_hang.moments] == ["hang"]
    assert (at_hang.findings[0].code, at_hang.findings[0].certainty) == ("exit-waits-for-thread", "certain")
    assert at_hang.problems == []
    report = read(tmp_path)
    first, *others = report.moments
    assert first.id == at_hang.moments[0].id
    assert (first.reason, {one.reason for one in others}) == ("hang", {"unraisable"})
    assert first.capture.method.startswith("stopped for ")
    assert first.shutdown is not None
    assert (first.shutdown.phase, first.shutdown.step) == ("shutdown", "threading._shutdown")
    assert len({one.id for one in report.moments}) == len(report.moments)
    assert {one.exception.args[0].repr for one in report.exceptions if one.exception} == {"'after'"}
    assert [finding.code for finding in report.findings] == ["exit-waits-for-thread", "finalizer-failed"]
    (process,) = report.processes
    assert process.exit is not None
    assert process.exit.code == 5
    (problem,) = report.problems
    assert re.fullmatch(
        r"gdb let the program go at \d\d:\d\d:\d\d, as it hung, and had it again \d+\.\d s later: what came in between "
        "was not seen",
        problem,
    )


@pytest.mark.interpreters(minors=("2.7", "3.14"))
def test_a_deadlock_and_a_timeout(interpreter: Interpreter, tmp_path: Path) -> None:
    with run(interpreter, tmp_path, "--timeout 6 --text report.txt --fail-on finding", "deadlock") as target:
        pid = int(target.wait_for().split()[1])
        assert target.wait() == 124
    assert re.match(r"deadlock: want \(tid \d+\) waits for lock ", target.stderr.text), "two threads have this name"
    assert not is_running(pid)
    assert (tmp_path / "report.txt").read_text().startswith("deadlock: ")
    report = read(tmp_path)
    assert (report.findings[0].code, report.findings[0].certainty) == ("lock-cycle", "certain")
    assert len(hangs(report)) == 1
    (process,) = report.processes
    assert process.exit is not None
    assert process.exit.signal == signal.SIGTERM
    assert process.fds
    assert any("and from then on it ran unwatched" in problem for problem in report.problems)


@pytest.mark.interpreters(minors=("2.7", "3.8", "3.13"))
def test_a_child_that_hangs_at_its_exit(interpreter: Interpreter, tmp_path: Path) -> None:
    with run(interpreter, tmp_path, "--no-agent --hang-after 1 --on-hang kill", "children") as target:
        parent, child = map(int, target.wait_for().split()[1:])
        assert target.wait() == -signal.SIGTERM
    report = read(tmp_path)
    assert sorted(one.pid for one in report.processes) == sorted([parent, child])
    assert {one.process for one in hangs(report)} == {f"process-{parent}", f"process-{child}"}
    assert report.findings[0].code == "exit-waits-for-thread"
    assert f"process {child} got nowhere in 1 s" in target.stderr.text
    assert not is_running(child)
    assert ("parent", f"process-{child}", f"process-{parent}") in [(e.kind, e.origin, e.to) for e in report.edges]


@pytest.mark.interpreters(minors=("2.7", "3.13"))
def test_a_slow_exit_that_moves_is_none(interpreter: Interpreter, tmp_path: Path) -> None:
    with run(interpreter, tmp_path, "--no-agent --hang-after 4 --timeout 60", "moves", "5") as target:
        assert target.wait() == 5
    report = read(tmp_path)
    assert (report.moments, report.problems, target.stderr.text) == ([], [], "")
    assert [finding.code for finding in report.findings] == ["healthy"]


@ONE
def test_one_that_ends_just_before_is_none(interpreter: Interpreter, tmp_path: Path) -> None:
    with run(interpreter, tmp_path, "--no-agent --hang-after 6", "just", "1.5") as target:
        assert target.wait() == 5
    assert (read(tmp_path).moments, target.stderr.text) == ([], "")


@ONE
def test_a_core_of_each_process(interpreter: Interpreter, tmp_path: Path) -> None:
    with run(interpreter, tmp_path, "--no-agent --hang-after 1 --on-hang core --on-hang kill", "children") as target:
        assert target.wait() == -signal.SIGTERM
    cores = list(tmp_path.glob("lastwords-*.core"))
    assert {int(core.name.split("-")[1]) for core in cores} == {one.pid for one in read(tmp_path).processes}
    assert all(f"{core.name}: " in target.stderr.text for core in cores)
    threads = [[thread.name for thread in lastwords.load(core).threads] for core in cores]
    assert sorted(threads) == [["MainThread"], ["MainThread", "acquire"]]


@ONE
def test_a_gdb_on_the_terminal(interpreter: Interpreter, tmp_path: Path) -> None:
    words = ["-m", "lastwords", "run", "--no-agent", "--hang-after", "1", "--on-hang", "gdb", "--on-hang", "kill", "--"]
    there = pexpect.spawn(
        sys.executable, [*words, str(interpreter.path), str(TARGETS / "hangs.py"), "exit", "never"],
        encoding="utf-8", timeout=60, env={**os.environ, "TERM": "dumb"}, cwd=str(tmp_path), dimensions=(500, 97),
    )  # fmt: skip
    there.delaybeforesend = None
    try:
        there.expect_exact("(gdb) ")
        assert "it stands still until you leave" in str(there.before)
        there.sendline("lw-report")
        there.expect_exact("the exit waits for thread wait_for_file")
        there.expect_exact("(gdb) ")
        there.sendline("detach")
        there.expect_exact("(gdb) ")
        there.sendline("quit")
        there.expect(pexpect.EOF)
    finally:
        there.close(force=True)
    assert there.signalstatus == signal.SIGTERM


@ONE
def test_without_gdb_or_a_terminal(interpreter: Interpreter, tmp_path: Path) -> None:
    env = {"LASTWORDS_GDB": ""} | {"PATH": "/nonexistent"}
    with run(interpreter, tmp_path, "--timeout 4 --on-hang gdb --on-hang kill", "deadlock", env=env) as target:
        assert target.wait() == 124
    assert read(tmp_path).findings[0].code == "lock-cycle"
    assert "lastwords: no gdb was opened: stdin and stdout are no terminal" in target.stderr.text
    assert "there is no gdb on PATH; the program runs unwatched" in target.stderr.text


def test_what_is_no_python(tmp_path: Path) -> None:
    with running([*RUN, "--timeout", "1", "--", "sleep", "100"], cwd=tmp_path) as target:
        assert target.wait() == 124
    said = " ".join(target.stderr.text.split())
    assert "what hangs could not be read: Process " in said
    assert "lastwords: the program still ran after 1 s (--timeout)" in said


@ONE
def test_pytest_and_its_workers(interpreter: Interpreter, tmp_path: Path) -> None:
    try:
        python = environment_for(interpreter, "pytest-xdist").python
    except EnvironmentFailedError as error:
        lack(f"pytest-xdist for {interpreter.name}: {error}")
    (tmp_path / "test_waits.py").write_text(
        "import threading\n"
        "def test_passes(): pass\n"
        "def test_waits():\n"
        "    lock = threading.Lock()\n"
        "    with lock:\n"
        "        open('waits', 'w').close()\n"
        "        lock.acquire()\n"
    )
    words = ["--timeout", "15", "--json", "report.json", "--", str(python), "-m", "pytest", "-n", "2", "test_waits.py"]
    with running([*RUN, *words], cwd=tmp_path) as target:
        assert target.wait() == 124
    assert (tmp_path / "waits").exists()
    report = read(tmp_path)
    assert report.findings[0].code == "lock-cycle"
    assert "test_waits" in str([one.stack for one in report.threads if one.is_main])
    assert len([one for one in report.processes if one.python]) == 3


def test_the_stubborn_are_killed(running_python: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hung, "GRACE_SECONDS", 0.3)
    with running([running_python.path, TARGETS / "hangs.py", "stubborn"]) as target:
        wait_until(lambda: target.stdout.text.count("ready") == 2, "both are there")
        there = family(target)
        assert len(there) == 2
        hung.end_tree(cast(Child, target.process))
        assert target.process.returncode == -signal.SIGKILL
    assert not any(map(is_running, there))


@ONE
def test_killed_at_any_instant(interpreter: Interpreter) -> None:
    """SIGKILL to lastwords, before, in and after the hang: the program goes on, without breakpoints, and ends."""
    command = [str(interpreter.path), str(TARGETS / "hangs.py"), "survives"]
    options = ["--no-agent", "--hang-after", "0.5"]
    [whole] = in_arena([Trial(command, 0.0, [], running=True, options=options)])
    assert (whole.lastwords, "it goes on" in whole.stderr, whole.left) == (7, True, [])
    instants = random.Random(SEED)
    delays = [instants.uniform(0.0, whole.seconds) for _ in range(KILLS)]
    kill: list[tuple[str, int]] = [("lastwords", signal.SIGKILL)]
    outcomes = in_arena([Trial(command, delay, kill, running=True, options=options) for delay in delays])
    shown = "\n".join(f"{delay:5.2f} s {outcome}" for delay, outcome in zip(delays, outcomes, strict=True))
    print(shown)
    assert all(outcome.harmless for outcome in outcomes), shown


BAD: dict[str, list[str]] = {
    "timeout_0": ["--timeout", "0"],
    "timeout_words": ["--timeout", "10m"],
    "timeout_for_ever": ["--timeout", "inf"],
    "hang_after_negative": ["--hang-after", "-1"],
    "on_hang_alone": ["--on-hang", "kill"],
    "on_hang_unknown": ["--timeout", "5", "--on-hang", "ask"],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *BAD[name], "--", "true"]) == 2
    said = capfd.readouterr().err
    golden = GOLDEN / f"run_{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(said)
    assert said == golden.read_text()
