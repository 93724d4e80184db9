"""The processes of a program: that outlive their gdb, that start others from threads, that execute themselves."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from harness import TARGETS, running, wait_until
from interpreters import Interpreter
from lastwords.capture.breakpoints import count_breakpoints
from lastwords.model import from_json


def find_gdb(lastwords: int) -> int | None:
    """The gdb that a lastwords has started, if it has."""
    return next((child.pid for child, path in children_of(lastwords) if path.name == "gdb"), None)


def children_of(pid: int) -> Iterator[tuple[psutil.Process, Path]]:
    """Each child that has not ended, with its executable."""
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie, too
            yield child, Path(child.exe())


@pytest.mark.interpreters(minors=["2.7", "3.8", "3.13"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_program_outlives_its_gdb(interpreter: Interpreter, number: signal.Signals, tmp_path: Path) -> None:
    document = tmp_path / "report.json"
    program = [interpreter.path, TARGETS / "outlives_gdb.py"]
    with running([sys.executable, "-m", "lastwords", "run", "--json", document, "--", *program]) as target:
        target.wait_for("ready")
        gdb = find_gdb(target.pid)
        assert gdb is not None
        os.kill(gdb, number)
        wait_until(lambda: not psutil.pid_exists(gdb), "gdb is gone and reaped")
        child = find_program(target.pid, interpreter)
        assert child is not None
        wait_until(lambda: not count_breakpoints(child.pid), "its breakpoints are taken out")
        target.send_line()
        assert target.wait() == 0, target.describe()
        assert target.stdout.text == "ready\nchild 7\n"
    report = from_json(document.read_bytes())
    assert report.problems[0] == "gdb ended by itself: from then on the program ran unwatched"


@pytest.mark.interpreters(minors=["2.7", "3.13"])
def test_the_program_outlives_both(interpreter: Interpreter) -> None:
    """gdb crashes, and lastwords is killed before it can mend that: the keeper takes the breakpoints out."""
    program = [interpreter.path, TARGETS / "outlives_gdb.py"]
    with running([sys.executable, "-m", "lastwords", "run", "--", *program]) as target:
        target.wait_for("ready")
        gdb, ours = find_gdb(target.pid), psutil.Process(target.pid)
        keeper = next(child for child in ours.children() if child.name() == "lastwords-keep")
        child = find_program(target.pid, interpreter)
        assert gdb is not None
        assert child is not None
        os.kill(target.pid, signal.SIGSTOP)
        os.kill(gdb, signal.SIGSEGV)
        os.kill(target.pid, signal.SIGKILL)
        wait_until(lambda: not is_there(keeper), "the keeper has done its work")
        target.send_line()
        target.wait_for("child 7")  # its last word
        wait_until(lambda: not is_there(child), "the program has ended")
        assert target.stdout.text == "ready\nchild 7\n"


@pytest.mark.interpreters(minors=["2.7", "3.13"])
def test_a_child_that_outlives_the_program_outlives_gdb(interpreter: Interpreter) -> None:
    program = [str(interpreter.path), str(TARGETS / "outlives_gdb.py"), "orphan"]
    with running([sys.executable, "-m", "lastwords", "run", "--linger", "60", "--", *program]) as target:
        target.wait_for("ready")
        gdb = find_gdb(target.pid)
        assert gdb is not None
        wait_until(lambda: find_program(target.pid, interpreter) is None, "the program has ended and is reaped")
        os.kill(gdb, signal.SIGSEGV)
        assert target.process.wait(60) == 0
        target.send_line()
        target.wait_for("child 7")


def find_program(lastwords: int, interpreter: Interpreter) -> psutil.Process | None:
    """What a lastwords runs, while it is there."""
    return next((child for child, path in children_of(lastwords) if path == interpreter.path.resolve()), None)


def is_there(process: psutil.Process) -> bool:
    """Whether it runs: nobody may be there to reap it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.interpreters(minors=["3.8", "3.10", "3.12", "3.13"])
def test_sub_processes_of_a_program_with_threads(interpreter: Interpreter, tmp_path: Path) -> None:
    """vfork in a process with threads: what gdb 13 crashes over when it is told to stop there."""
    document = tmp_path / "report.json"
    program = [interpreter.path, TARGETS / "starts_processes.py"]
    with running([sys.executable, "-m", "lastwords", "run", "--json", document, "--", *program]) as target:
        assert target.wait() == 0, target.describe()
    report = from_json(document.read_bytes())
    children = report.processes[1:]
    assert len(children) == 3
    # under load gdb 13 was seen not to tell of a child's end: then nothing is said of it, and nothing wrong
    assert {child.exit.code for child in children if child.exit} == {3}
    assert sorted(caught.process for caught in report.exceptions) == sorted(child.id for child in children)
    assert not [problem for problem in report.problems if "gdb" in problem]


@pytest.mark.interpreters(minors=["2.7", "3.8", "3.13"])
def test_a_program_that_executes_itself_is_read_anew_each_time(interpreter: Interpreter, tmp_path: Path) -> None:
    document = tmp_path / "report.json"
    program = [interpreter.path, TARGETS / "execs_itself.py"]
    with running([sys.executable, "-m", "lastwords", "run", "--json", document, "--", *program]) as target:
        assert target.wait() == 0, target.describe()
    report = from_json(document.read_bytes())
    said = [caught.exception and caught.exception.value for caught in report.exceptions]
    assert said == ["before exec 0", "before exec 1", "before exec 2"]
    assert all(caught.stack and caught.error is None for caught in report.exceptions)
