"""`lastwords attach` and `snapshot` of 5,000 threads: all are told of, and run on; it takes no more than so much."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness import PATIENCE, Target, wait_until_at_rest
from interpreters import Interpreter
from lastwords.capture import procfs
from lastwords.capture.stop.stopper import KILL_SECONDS
from lastwords.examine.core import read_core_report
from lastwords.model import Report
from stopping import states, tracer

THREADS = 5_000
PEAK = 900 << 10  # kB; a snapshot is made of the whole copy, and of the report on it
OUR_WORDS = (
    "it was let go before everything was read",
    "it could not be stopped: ",
    "what moved since the dry run took more than",
    "may have run while",
)


@pytest.fixture
def waiting(running_python: Interpreter, start_target: Callable[..., Target]) -> Target:
    """Its threads all wait for an Event, and it for a line."""
    target = start_target(running_python, "many_threads.py", str(THREADS), ready="")
    said = target.wait_for("")
    if said.startswith("only"):
        pytest.skip(f"this machine allows a process {said} threads (ulimit -u, pids of the cgroup, threads-max)")
    wait_until_at_rest(target.pid, threads=THREADS + 1)
    return target


def run(*words: object) -> str:
    """What the command says to stderr; it takes no more memory than it may."""
    command = [sys.executable, "-m", "lastwords", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.stderr is not None
        assert usage.ru_maxrss < PEAK
        return process.stderr.read()


def check(report: Report, tids: set[int]) -> None:
    """Each thread, and what it waits for; or why not."""
    (moment,) = report.moments
    assert {thread.tid for thread in report.threads} == tids
    assert len(report.threads) == THREADS + 1
    waiting = [one for one in report.threads if one.waits_for and one.waits_for.kind == "event" and one.stack]
    if moment.capture.complete:  # not so where the machine was too busy to hold as many for the time that there is
        assert len(waiting) == THREADS
        assert moment.capture.pause_ms is not None
        assert moment.capture.pause_ms < KILL_SECONDS * 1000
    for problem in moment.capture.problems:
        assert any(words in problem for words in OUR_WORDS), problem


def check_it_runs_on(target: Target) -> None:
    """Nobody holds it, and it ends as it would have."""
    assert not states(target.pid) & {"t", "T"}
    assert tracer(target.pid) == 0
    target.send_line()
    assert target.wait(PATIENCE) == 7


def test_attach(waiting: Target, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert run("attach", waiting.pid, "--json", path) == ""
    check(msgspec.json.decode(path.read_bytes(), type=Report), set(procfs.read_tasks(waiting.pid)))
    check_it_runs_on(waiting)


def test_snapshot(waiting: Target, tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    tids = set(procfs.read_tasks(waiting.pid))
    assert run("snapshot", waiting.pid, "-o", path).startswith(f"{path}: ")
    check_it_runs_on(waiting)
    check(read_core_report(path), tids)
