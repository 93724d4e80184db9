"""Locks that are taken and left all the time, read at any instant: who is inside is who holds it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import PATIENCE, Target, wait_until_at_rest
from interpreters import Interpreter as Python
from lastwords import cpython
from lastwords.cpython.holding.holds import Hold, find_holds
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.numbers import read_int
from lastwords.cpython.threads import PythonThread, read_threads

INSTANTS = 8  # at which somebody was inside, and was found for certain


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Every thread of it stands still, wherever it was."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + PATIENCE
    while {read_state(task) for task in Path(f"/proc/{pid}/task").iterdir()} != {"T"}:
        assert time.monotonic() < deadline, "the target does not stop"
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def read_state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(") ")[2][0]


@pytest.mark.interpreters("!free_threaded", minors=("2.7", "3.11", "3.14"))
def test_who_is_inside_holds_it(interpreter: Python, start_target: Callable[..., Target]) -> None:
    target = start_target(interpreter, "holds_change.py")
    inside, lock, inside_condition, below = map(int, target.wait_for("ready").split()[1:])
    found = certain = 0
    deadline = time.monotonic() + PATIENCE
    while found < INSTANTS or certain < INSTANTS:
        assert time.monotonic() < deadline, f"{found} were inside, {certain} were certain"
        with stopped(target.pid):
            interp = cpython.open_process(target.pid)
            holds = find_holds(interp, read_threads(interp, []), [])
            for owner, address in ((read_only(interp, inside), lock), (read_only(interp, inside_condition), below)):
                of_lock = [hold for hold in holds if hold.lock == address]
                assert not owner or owner in [hold.thread.ident for hold in of_lock]
                check_certain(of_lock, owner)
                found += bool(owner)
                certain += sum(hold.certainty == "certain" for hold in of_lock)
        time.sleep(0.001)


def read_only(interp: Interpreter, items: int) -> int:
    """The number that the list's only item is."""
    return read_int(interp, interp.pointer(interp.number(items, "PyListObject", "ob_item")))


def check_certain(holds: list[Hold], owner: int) -> None:
    """One at most, and it is whoever says to be inside, if anybody does."""
    certain = [hold.thread.ident for hold in holds if hold.certainty == "certain"]
    assert len(certain) <= 1
    assert not owner or certain in ([], [owner])


def test_two_that_are_certain_are_noticed() -> None:
    hold = Hold(PythonThread(1, 2, 0), 3, "lock", "certain", "")
    check_certain([hold], 2)
    for holds, owner in (([hold, hold], 2), ([hold], 5)):
        with pytest.raises(AssertionError):
            check_certain(holds, owner)


@pytest.mark.interpreters("!free_threaded", minors=("3.11",))
def test_who_is_at_a_try_inside_holds_it(interpreter: Python, start_target: Callable[..., Target]) -> None:
    target = start_target(interpreter, "holds_at_try.py")
    lock = int(target.wait_for("ready").split()[1])
    wait_until_at_rest(target.pid)
    interp = cpython.open_process(target.pid)
    assert lock in [hold.lock for hold in find_holds(interp, read_threads(interp, []), [])]
