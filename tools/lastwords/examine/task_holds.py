"""Which of CPython's own locks suspended coroutines hold: no thread shows any of their frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from lastwords.asyncio_tasks.coroutines import Chain
from lastwords.cpython.holding.holds import Hold, find_holds
from lastwords.cpython.holding.takers import TAKEN
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.threads import PythonThread
from lastwords.model import Report


class Wanted(msgspec.Struct, frozen=True):
    """A lock of which it is asked who has it: see takers.Waiting."""

    object: int
    kind: str = "lock"
    ident: int | None = None
    chain: tuple[int, ...] = ()


def find_unheld(report: Report, moment: str) -> list[int]:
    """The addresses of the locks that somebody waits for, that are taken, and that nobody is known to have."""
    ends = {kind: {edge.to for edge in report.edges if edge.kind == kind} for kind in ("waits", "holds")}
    return [
        one.address
        for one in report.objects
        if one.moment == moment and one.id in ends["waits"] - ends["holds"]
        if one.kind in TAKEN and one.locked and one.address is not None
    ]


def find_task_holds(
    interp: Interpreter, threads: Sequence[PythonThread], chains: Mapping[int, Chain], wanted: Sequence[int]
) -> Iterator[Hold]:
    """Who of these tasks has one of the locks.

    chains: where they stand, each by a number; this is `thread.tstate` in what is found

    Raises ReadError.
    """
    inside = [
        PythonThread(tstate=number, ident=0, interpreter=0, places=chain.places, error=chain.error)
        for number, chain in chains.items()
        if chain.places and not chain.running
    ]
    if inside:
        for hold in find_holds(interp, [*threads, *inside], [Wanted(one) for one in wanted]):
            if hold.thread.tstate in chains and hold.lock in wanted:
                yield hold
