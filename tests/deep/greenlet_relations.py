"""What greenlets wait for and hold, against what the program says of each of them from inside.

The program's facts: `waits`, by the greenlet's address: kind, target (addresses of those that it may be, "some", None),
timed, and where they apply seconds, fd, events, pid, since; `holds`: (holder, lock, whether that is certain, None: it
may be).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lastwords.model import Greenlet, Report

CLOSE = 0.5  # seconds between the clock that a loop looked at last and ours
CERTAINTIES = {True: ("certain",), False: ("likely",), None: ("certain", "likely")}
Facts = dict[str, Any]


def compare_relations(report: Report, facts: Facts) -> Iterator[str]:
    """What is not as the program says, in words."""
    greenlets = {one.address: one for one in report.greenlets}
    for key, truth in facts["waits"].items():
        greenlet = greenlets.get(int(key))
        if greenlet is None or greenlet.waits_for is None:
            yield f"{int(key):#x} waits for {truth}: not told"
        else:
            yield from (f"{int(key):#x}: {what}" for what in _compare_wait(report, greenlet, truth))
    yield from _compare_holds(report, facts)


def find_addresses(report: Report) -> dict[str, int | None]:
    """Of its objects and greenlets, by their ids."""
    return {**{one.id: one.address for one in report.objects}, **{one.id: one.address for one in report.greenlets}}


def is_within(since: tuple[float, float], at: float) -> bool:
    """Whether it was after the program's start, and before it said that all wait."""
    return since[0] - CLOSE <= at <= since[1] + CLOSE


def _compare_wait(report: Report, greenlet: Greenlet, truth: Facts) -> Iterator[str]:
    wait = greenlet.waits_for
    assert wait is not None
    addresses = find_addresses(report)
    if wait.kind != truth["kind"]:
        yield f"kind {wait.kind}, not {truth['kind']} ({wait.detail})"
    target = addresses.get(wait.target or "")
    wanted = truth["target"] if isinstance(truth["target"], list) else [truth["target"]]
    if (
        target not in wanted
        and not (target and wanted == ["some"])
        and not (wait.target is None and wait.certainty != "certain")
    ):
        yield f"target {target}, not {wanted} ({wait.kind}, {wait.detail})"
    if truth["timed"] not in (None, wait.has_timeout):
        yield f"timeout {wait.has_timeout}, not {truth['timed']} ({wait.kind}, {wait.detail})"
    if truth.get("seconds") and not is_within(truth["since"], (wait.until or 0) - truth["seconds"]):
        yield f"until {wait.until}, not in {truth['seconds']} s"
    if "fd" in truth and f"to {truth['events']} fd {truth['fd']}," not in (wait.detail or ""):
        yield f"{wait.detail}, not fd {truth['fd']}"
    if wait.pid != truth.get("pid") and wait.kind == "process":
        yield f"process {wait.pid}, not {truth['pid']}"


def _compare_holds(report: Report, facts: Facts) -> Iterator[str]:
    addresses = find_addresses(report)
    found = {
        (addresses.get(edge.origin), addresses.get(edge.to)): edge.certainty
        for edge in report.edges
        if edge.kind == "holds"
    }
    for holder, lock, certain in {tuple(one) for one in facts["holds"]}:
        certainty = found.pop((holder, lock), None)
        if certainty not in CERTAINTIES[certain]:
            yield f"{holder:#x} holds {lock:#x}: {certainty}, not {' or '.join(CERTAINTIES[certain])}"
    yield from (f"{holder} holds {lock}: nobody says so" for holder, lock in found)
