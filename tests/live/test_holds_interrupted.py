"""Whoever is interrupted in the middle of taking a lock, or of giving it back, has it: likely."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Target
from holds_ledger import check_truth, read_holds, read_ledger
from interpreters import Interpreter as Python

Start = Callable[..., Target]
# A profiler's function comes in between, as a signal handler does, but always at the same instruction.
PROGRAM = """
import sys
n1 = lock(1)
c = threading.Condition(n1)
def thread0():
 def between(frame, event, arg):
  name = getattr(arg, "__name__", None) if event.startswith("c_") else frame.f_code.co_name
  if (name, event) == {place}:
   say([1] if n1.locked() else [])
   block()
 sys.setprofile(between)
 {body}
run([thread0])
"""
BY_CONDITION, BY_HAND = "with c: pass", "n1.acquire(); n1.release()"
HELD = [
    (BY_CONDITION, "__enter__", "return"),
    (BY_CONDITION, "__exit__", "call"),
    (BY_HAND, "acquire", "c_return"),
]
FREE = [
    (BY_CONDITION, "__enter__", "call"),
    (BY_CONDITION, "__exit__", "return"),
    (BY_HAND, "acquire", "c_call"),
    (BY_HAND, "release", "c_return"),
]


@pytest.mark.parametrize("place", HELD + FREE, ids=lambda place: f"{place[1]} {place[2]}")
def test_in_the_middle(interpreter: Python, start_target: Start, tmp_path: Path, place: tuple[str, str, str]) -> None:
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(place=place[1:], body=place[0]))
    target = start_target(interpreter, "holds_generated.py", str(program))
    ledger = read_ledger(target)
    holds = read_holds(target, ledger)
    check_truth(holds, ledger)
    assert [hold.certainty for hold in holds] == (["likely"] if place in HELD else [])
    assert all("interrupted in " in hold.evidence for hold in holds)


# The thread waits for what a frame of it further out has, or has given back.
BY_ITSELF = """
import holds_known
n1 = lock(1)
def inner():
 {before}
 n1.acquire()
 n1.release()
def thread0():
 n1.acquire()
 holds_known.say(otherwise=[n1] if {has_it} else [], waits=n1)
 inner()
 n1.release()
run([thread0])
"""
TAKEN_BY_SOMEBODY = "n1.release(); _thread = threading.Thread(target=n1.acquire); _thread.start(); _thread.join()"


@pytest.mark.parametrize("has_it", [True, False])
def test_one_that_waits_for_its_own(interpreter: Python, start_target: Start, tmp_path: Path, has_it: bool) -> None:
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    program = tmp_path / "program.py"
    program.write_text(BY_ITSELF.format(before="pass" if has_it else TAKEN_BY_SOMEBODY, has_it=has_it))
    target = start_target(interpreter, "holds_generated.py", str(program))
    holds = read_holds(target, read_ledger(target))
    assert [hold.certainty for hold in holds] == (["likely"] if has_it else [])
