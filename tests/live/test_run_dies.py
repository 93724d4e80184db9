"""`lastwords run`: a program that dies of a signal is one record, with the stacks of each of its threads."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness import TARGETS
from interpreters import Interpreter
from lastwords.model import Caught, Exit, Frame, Report, Thread
from watching import functions_of, watch

# How each way ends; which function of the program stood where.
SIGNALS = {
    "segfault": (signal.SIGSEGV, "crash"),
    "segfault_in_thread": (signal.SIGSEGV, "crash"),
    "fatal": (signal.SIGABRT, "fatal"),
    "abort": (signal.SIGABRT, "abort"),
    "with_faulthandler": (signal.SIGSEGV, "crash"),
}


@pytest.mark.interpreters("ctypes")
def test_a_death_is_one_record_with_every_thread(interpreter: Interpreter, tmp_path: Path) -> None:
    seen = watch([interpreter.path, TARGETS / "dies.py"], tmp_path)
    pids = dict(line.split() for line in seen.stdout.splitlines() if len(line.split()) == 2)
    assert seen.code == 0
    ended = {str(one.pid): one.exit for one in seen.report.processes}
    assert ended[pids["handled"]] == Exit(code=0)
    records = {caught.process: caught for caught in seen.report.exceptions}
    assert len(records) == len(seen.report.exceptions) == len(SIGNALS)
    for name, (number, function) in SIGNALS.items():
        caught = records[f"process-{pids[name]}"]
        assert (name, caught.how, caught.error) == (name, "fatal", None)
        assert ended[pids[name]] == Exit(signal=number)
        assert caught.message == _message(name, number, seen.stderr)
        assert function in functions_of(caught.python_stack)
        _check_threads(name, caught, seen.report, interpreter)


def _message(name: str, number: signal.Signals, stderr: str) -> str:
    """The interpreter's own last words, where it was the one that gave up."""
    if name == "fatal":
        return next(line for line in stderr.splitlines() if line.startswith("Fatal Python error") and "over" in line)
    return f"signal {number.name}"


def _check_threads(name: str, caught: Caught, report: Report, interpreter: Interpreter) -> None:
    threads = [one for one in report.threads if one.moment == caught.moment]
    assert len(threads) == (3 if name == "segfault_in_thread" else 2)
    assert caught.thread == threads[0].id
    assert threads[0].is_main == (name != "segfault_in_thread")
    assert all(one.error is None and one.c_stack_gdb for one in threads)
    waiting = next(one for one in threads if _runs(one, "waits"))
    if interpreter.has("symbols"):
        assert {"clone3", "clone"} & {frame.function for frame in waiting.c_stack_gdb or ()}
        assert _has_line(caught.stack)


def _runs(thread: Thread, function: str) -> bool:
    return function in functions_of(thread.stack)


def _has_line(stack: list[Frame]) -> bool:
    return any(frame.file and frame.line for frame in stack)
