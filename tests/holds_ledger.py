"""What a target says that its threads hold, beside what is read of it from outside."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness import Target, wait_until
from lastwords import cpython
from lastwords.cpython.holding.holds import Hold, find_holds
from lastwords.cpython.threads import read_threads
from lastwords.cpython.waiting.waits import Wait

SELECT = "23 "  # 2.7 waits for a time by sleeping again and again
Pair = tuple[int, int]


@dataclass
class Ledger:
    """(ident, lock) of all that is held, of what a `with` took, of semaphores' units, and of what is waited for."""

    held: set[Pair] = field(default_factory=set)
    by_with: set[Pair] = field(default_factory=set)
    units: set[Pair] = field(default_factory=set)
    waits: set[Pair] = field(default_factory=set)
    names: dict[Pair, str] = field(default_factory=dict)


def read_ledger(target: Target) -> Ledger:
    """What the target says of itself (tests/targets/holds_known.py)."""
    facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
    ledger = Ledger()
    for ident, said in facts["threads"].items():
        for kind, pairs in (("holds", ledger.held), ("with", ledger.by_with), ("units", ledger.units)):
            pairs |= {(int(ident), lock) for lock in said[kind]}
        if said["waits"]:
            ledger.waits.add((int(ident), said["waits"]))
        ledger.names |= {(int(ident), int(lock)): f"{said['scenario']} {name}" for lock, name in facts["names"].items()}
    return ledger


def wait_until_all_sleep(pid: int) -> None:
    """Until every thread is asleep in the same system call three times running."""
    looks: list[dict[str, str] | None] = []

    def rests() -> bool:
        looks.append(_read_calls(pid))
        return looks[-1] is not None and looks[-3:] == 3 * looks[-1:]

    wait_until(rests, "the target comes to rest")


def _read_calls(pid: int) -> dict[str, str] | None:
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        state = (task / "stat").read_text().rpartition(") ")[2][0]
        call = (task / "syscall").read_text()
        if call.startswith(SELECT):
            continue
        if state != "S" or call.startswith("running"):
            return None
        found[task.name] = call
    return found


def read_holds(target: Target, ledger: Ledger) -> list[Hold]:
    """What is read from outside, of threads that wait for what they say."""
    wait_until_all_sleep(target.pid)
    interp = cpython.open_process(target.pid)
    waits = [Wait(None, ident, "lock", object=lock) for ident, lock in ledger.waits]
    return find_holds(interp, read_threads(interp, []), waits)


def check_truth(holds: Iterable[Hold], ledger: Ledger) -> None:
    """What is certain is true; nothing is told of a semaphore but its units."""
    for hold in holds:
        pair = (hold.thread.ident, hold.lock)
        if hold.kind == "semaphore":
            assert pair in ledger.units, hold.evidence
        elif hold.certainty == "certain":
            assert pair in ledger.held, f"{ledger.names.get(pair)}: {hold.evidence}"


def find_missed(holds: Iterable[Hold], truth: set[Pair], ledger: Ledger) -> list[str]:
    """The true ones that were not found."""
    found = {(hold.thread.ident, hold.lock) for hold in holds}
    return sorted(ledger.names[pair] for pair in truth - found)


def find_uncertain(holds: Iterable[Hold], ledger: Ledger) -> list[str]:
    """The true ones that were found as likely."""
    return sorted(
        ledger.names[hold.thread.ident, hold.lock]
        for hold in holds
        if hold.certainty != "certain" and (hold.thread.ident, hold.lock) in ledger.held
    )
