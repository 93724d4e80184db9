"""Who holds a lock, and how certain that is.

An RLock keeps its owner. A Lock does not; but the frame that is inside `with lock` has the lock's `__exit__` on its
evaluation stack. That is certain where the lock is locked, no other frame is inside a `with` of it, and nothing can
have given it back in between: not Condition.wait, which does so for as long as it waits, and no call of `release()`
in the code of this program that may mean this lock. `lock.acquire()` leaves nothing behind: a frame between that and
`lock.release()` holds it likely.

"Held by nobody alive" is told by LockState.owner_ident of an RLock: the ident of none of the threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.code import read_frame
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.releases import Giver, Givers
from lastwords.cpython.holding.takers import Taker, Takers, Waiting
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.threads import PythonThread
from lastwords.model import Certainty

OWNED = ("rlock", "module_lock")  # they keep their owner's ident
ELSEWHERE = "another process may have taken it since"
MAY_HAVE_RUN = "the thread may have run while it was read"


class Hold(msgspec.Struct, frozen=True):
    """`thread` holds the lock at the address `lock`; of a semaphore it has a unit, as others may.

    place: the frame that took it, by the instruction at `took`; None where the lock itself says who owns it
    """

    thread: PythonThread
    lock: int
    kind: str
    certainty: Certainty
    evidence: str
    place: Place | None = None
    took: int = 0


def find_holds(interp: Interpreter, threads: Sequence[PythonThread], waits: Sequence[Waiting]) -> list[Hold]:
    """Which thread holds which lock, each pair once. What cannot be read makes the others less certain.

    Raises ReadError where nothing can be told.
    """
    takers = Takers(interp, threads, waits)
    holds: dict[tuple[int, int], Hold] = {}
    for hold in (*_find_owned(takers, threads), *_judge(interp, takers), *_find_taken(takers, threads)):
        holds.setdefault((hold.thread.tstate, hold.lock), hold)
    return list(holds.values())


def _find_owned(takers: Takers, threads: Sequence[PythonThread]) -> Iterator[Hold]:
    """The locks that keep their owner: those that a frame mentions and those that are waited for."""
    by_ident = {thread.ident: thread for thread in threads}
    for lock in takers.locks.values():
        owner = by_ident.get(lock.owner_ident or 0)
        if lock.kind in OWNED and lock.locked and owner is not None:
            times = f", {lock.count} times" if (lock.count or 0) > 1 else ""
            evidence = f"the lock says that its owner is the thread with the ident {owner.ident:#x}{times}"
            doubt = f"; but {MAY_HAVE_RUN}" if _may_have_run(owner) else ""
            yield Hold(owner, lock.address, lock.kind, "likely" if doubt else "certain", evidence + doubt)


def _find_taken(takers: Takers, threads: Sequence[PythonThread]) -> Iterator[Hold]:
    """The locks of processes that say which thread here has taken them; of an RLock's nobody else can give it back."""
    by_ident = {thread.ident: thread for thread in threads}
    inner = {one.lock for one in takers.locks.values()}
    for lock in takers.locks.values():
        taker = by_ident.get(lock.taker_ident or 0)
        if lock.kind == "process_lock" and lock.locked and taker is not None and lock.address not in inner:
            evidence = f"the lock says that the thread with the ident {taker.ident:#x} took it last, and keeps it"
            doubt = MAY_HAVE_RUN if _may_have_run(taker) else ELSEWHERE if lock.owner_ident is None else ""
            certainty: Certainty = "likely" if doubt else "certain"
            yield Hold(taker, lock.address, lock.kind, certainty, evidence + (f"; but {doubt}" if doubt else ""))


def _judge(interp: Interpreter, takers: Takers) -> Iterator[Hold]:
    """The locks that do not say who has them."""
    frames: dict[int, set[tuple[int, int]]] = {}
    for one in takers.found:
        frames.setdefault(one.lock.address, set()).add((one.thread.tstate, one.place.frame))
    givers: Givers | None = None
    for one in takers.found:
        doubts = [*one.doubts, *_find_doubts(one, len(frames[one.lock.address])), *takers.problems]
        if not doubts:  # the search through the code is long, and changes nothing for one that is likely anyway
            try:
                givers = givers or Givers(interp, takers.places)
                doubts = _find_givers(interp, givers, one)
            except ReadError as error:
                doubts = [f"not all code was read that may give it back: {error}"]
        certainty: Certainty = "likely" if doubts else "certain"
        evidence = one.evidence + "".join(f"; but {doubt}" for doubt in doubts[:1])
        yield Hold(one.thread, one.lock.address, one.lock.kind, certainty, evidence, one.place, one.took)


def _find_doubts(one: Taker, frames: int) -> Iterator[str]:
    if one.lock.kind in ("process_lock", "process_semaphore"):
        yield ELSEWHERE
    if one.lock.kind == "lock" and frames > 1:
        yield f"{frames} frames may hold it"
    if one.lock.locked is None:
        yield "whether it is locked is not known"
    if _may_have_run(one.thread):
        yield MAY_HAVE_RUN


def _may_have_run(thread: PythonThread) -> bool:
    return thread.kernel is not None and not thread.kernel.stood_still


def _find_givers(interp: Interpreter, givers: Givers, one: Taker) -> list[str]:
    found = givers.find(one.lock.address, one.place)
    if found is not None:
        return [f"{_describe_giver(interp, found)} may give it back"]
    if givers.is_kept(one.lock.address):
        return ["a module keeps a method of it"]
    return [] if givers.program.is_complete else ["there is too much code to see that nothing gives it back"]


def _describe_giver(interp: Interpreter, giver: Giver) -> str:
    frame = read_frame(interp, giver.code, giver.call.start)
    return f"{giver.call.receiver or '...'}.{giver.call.method} at {frame.file}:{frame.line} in {frame.function}"
