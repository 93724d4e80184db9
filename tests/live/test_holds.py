"""Who holds which lock, read from outside, beside what the target says of itself: certain is never false."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from harness import Target
from holds_ledger import Ledger, check_truth, find_missed, find_uncertain, read_holds, read_ledger
from interpreters import Interpreter as Python
from lastwords.cpython.holds import Hold

Start = Callable[..., Target]
# To 3.10 nothing says that the generator of a `for` loop is still on the stack.
SUSPENDED = "by_suspended_generator a"
GENERATORS = ["by_contextmanager a", SUSPENDED]


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
    assert set(find_uncertain(holds, ledger)) <= set(GENERATORS)
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
    assert {one[1] for one in found if one} > {"a", "self._lock", "..."}


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
    assert ("handed_over a", "certain") not in likely
    by_hand = [hold.evidence for hold in holds if ledger.names[hold.thread.ident, hold.lock] == "by_hand a"]
    assert any("a.acquire()` at " in text and "whose release() is still to come" in text for text in by_hand)
    given = [hold.evidence for hold in holds if "may give it back" in hold.evidence]
    assert len(given) > 3
