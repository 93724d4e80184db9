"""Who holds which lock, read from outside, beside what the target says of itself: certain is never false."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from harness import Target
from holds_ledger import Ledger, check_truth, find_missed, find_uncertain, read_holds, read_ledger
from interpreters import Interpreter as Python
from lastwords.cpython.holding.holds import Hold

Start = Callable[..., Target]
# To 3.10 nothing says that the generator of a `for` loop is still on the stack.
SUSPENDED = "by_suspended_generator a"
LIKELY = {"by_contextmanager a", SUSPENDED, "by_exit_stack a", "by_exit_stack b"}


@pytest.fixture(autouse=True)
def readable(interpreter: Python) -> None:
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")


def test_what_with_took_is_found_and_certain(interpreter: Python, start_target: Start) -> None:
    target = start_target(interpreter, "holds_known.py")
    ledger = read_ledger(target)
    holds = read_holds(target, ledger)
    check_truth(holds, ledger)
    assert find_missed(holds, ledger.held, ledger) in ([], [SUSPENDED])
    assert set(find_uncertain(holds, ledger)) <= LIKELY
    assert {(hold.thread.ident, hold.lock) for hold in holds} <= ledger.held | ledger.units
    assert {(hold.thread.ident, hold.lock) for hold in holds if hold.kind == "semaphore"} == ledger.units
    print(
        f"{len(ledger.held)} held, {len(ledger.by_with)} by with, {len(find_missed(holds, ledger.held, ledger))} missed"
    )
    check_evidence(holds)
    check_that_a_false_one_is_noticed(holds, ledger)


def check_evidence(holds: Sequence[Hold]) -> None:
    texts = [hold.evidence for hold in holds if hold.place]
    pattern = r"`with (\S+)` at .+:\d+ in \S+: its __exit__ is on the frame's evaluation stack(; but .*)?"
    found = [re.fullmatch(pattern, text) for text in texts]
    assert all(found), texts
    assert {one[1] for one in found if one} > {"a", "self._lock"}


def check_that_a_false_one_is_noticed(holds: Sequence[Hold], ledger: Ledger) -> None:
    one = next(hold for hold in holds if hold.certainty == "certain" and hold.kind == "lock")
    other = next(hold for hold in holds if hold.thread is not one.thread)
    with pytest.raises(AssertionError):
        check_truth([replace(one, thread=other.thread)], ledger)
    assert find_missed(holds[1:], ledger.held, ledger)


def test_what_was_given_back_by_hand_is_never_certain(interpreter: Python, start_target: Start) -> None:
    target = start_target(interpreter, "holds_released.py")
    ledger = read_ledger(target)
    holds = read_holds(target, ledger)
    check_truth(holds, ledger)
    missed = find_missed(holds, ledger.by_with, ledger)
    assert missed == []
    likely = {(ledger.names[hold.thread.ident, hold.lock], hold.certainty) for hold in holds}
    assert ("by_hand a", "likely") in likely
    assert likely >= {(f"items_by_hand {name}", "likely") for name in "abcd"}
    assert ("handed_over a", "certain") not in likely
    by_hand = [hold.evidence for hold in holds if ledger.names[hold.thread.ident, hold.lock] == "by_hand a"]
    assert any("a.acquire()` at " in text and "whose release() is still to come" in text for text in by_hand)
    given = [hold.evidence for hold in holds if "may give it back" in hold.evidence]
    assert len(given) > 3


HOLDER = "n1, n2 = lock(1), lock(2)\ndef thread0():\n with n1:\n  say([1])\n  block()\n"
GIVERS = {
    "a function": "def give(what): what.release()",
    "a static method": "class A(object):\n @staticmethod\n def give(what): what.release()",
    "a class method": "class A(object):\n @classmethod\n def give(cls, what): what.release()",
    "an attribute": "class A(object):\n def give(self): self.lock.release()",
    "a nested function": "def f():\n def give(what): what.release()\n return give",
    "a decorated function": "def d(f):\n def w(*a): return f(*a)\n return w\n@d\ndef give(what): what.release()",
    "a condition over it": "c = threading.Condition(n1)\ndef give(): c.release()",
    "a condition's own": "def give(c): return c._release_save()",
    "a name in a string": "def give(): getattr(n1, 'release')()",
    "a callback": "def give(f): f(n1.release)",
    "a method that is kept": "give = n1.release",
    "a call of __exit__": "def give(): n1.__exit__(None, None, None)",
}
OTHERS = {
    "another lock": "def give(): n2.release()",
    "another condition": "c = threading.Condition(n2)\ndef give(): c.release()",
    "its name alone": "class A(object):\n def release(self): pass",
    "another's method": "give = n2.release",
}


@pytest.mark.interpreters(minors=("2.7", "3.8", "3.14"))
def test_whatever_may_give_it_back_makes_it_likely(interpreter: Python, start_target: Start, tmp_path: Path) -> None:
    for name, code in {**GIVERS, **OTHERS}.items():
        program = tmp_path / "program.py"
        program.write_text(f"{HOLDER}{code}\nrun([thread0])\n")
        target = start_target(interpreter, "holds_generated.py", str(program))
        holds = read_holds(target, read_ledger(target))
        assert [(name, hold.certainty) for hold in holds] == [(name, "likely" if name in GIVERS else "certain")]
        target.end()


TRACED = "def trace(*_): return trace\nthreading.settrace(trace)\n"


def test_a_traced_program_is_read(interpreter: Python, start_target: Start, tmp_path: Path) -> None:
    """From 3.12 on the interpreter writes over the first instruction of each line."""
    program = tmp_path / "program.py"
    program.write_text(f"{TRACED}{HOLDER}run([thread0])\n")
    target = start_target(interpreter, "holds_generated.py", str(program))
    ledger = read_ledger(target)
    holds = read_holds(target, ledger)
    check_truth(holds, ledger)
    assert find_missed(holds, ledger.by_with, ledger) == []
