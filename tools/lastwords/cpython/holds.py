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
from dataclasses import dataclass, field
from typing import Protocol

from lastwords.capture.memory import ReadError
from lastwords.cpython.code import read_frame
from lastwords.cpython.expressions import evaluate, find_expression
from lastwords.cpython.frame import Place
from lastwords.cpython.generators import find_generator_place, find_manager_place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.lock_calls import GIVING, TAKING, LockCall, find_lock_calls
from lastwords.cpython.locks import LockState, read_lock
from lastwords.cpython.releases import Givers, find_lock, find_wait_code
from lastwords.cpython.slots import find_slot
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.value_stack import read_value_stack
from lastwords.cpython.with_blocks import WithBlock, find_with_blocks
from lastwords.model import Certainty

OWNED = ("rlock", "module_lock")  # they keep their owner's ident
TAKEN = ("lock", "semaphore", "process_lock")  # of these a frame is all that tells who has them
GENERATORS_LIMIT = 8


class Waiting(Protocol):
    """What is needed of a wait (waits.Wait): the ident of who waits, the addresses of what for and of what is below."""

    @property
    def ident(self) -> int | None: ...  # noqa: D102

    @property
    def object(self) -> int | None: ...  # noqa: D102

    @property
    def chain(self) -> tuple[int, ...]: ...  # noqa: D102


@dataclass(frozen=True)
class Hold:
    """`thread` holds the lock at the address `lock`; of a semaphore it has a unit, as others may.

    place: the frame that took it, None where the lock itself says who owns it
    """

    thread: PythonThread
    lock: int
    kind: str
    certainty: Certainty
    evidence: str
    place: Place | None = None


@dataclass
class Candidate:
    """A frame that has taken a lock, as its code says. `at`: how many frames of its thread are further in."""

    thread: PythonThread
    at: int
    place: Place
    lock: LockState
    evidence: str
    doubts: list[str] = field(default_factory=list)


def find_holds(interp: Interpreter, threads: Sequence[PythonThread], waits: Sequence[Waiting]) -> list[Hold]:
    """Which thread holds which lock, each pair once. What cannot be read makes the others less certain."""
    search = _Search(interp, threads, waits)
    holds = [*search.owned(), *search.taken()]
    return list({(hold.thread.tstate, hold.lock): hold for hold in reversed(holds)}.values())[::-1]


class _Search:
    """All frames of all threads, looked through once."""

    def __init__(self, interp: Interpreter, threads: Sequence[PythonThread], waits: Sequence[Waiting]) -> None:
        self.interp = interp
        self.threads = threads
        self.problems = [f"the stack of thread {_name(one)} was read in part" for one in threads if one.error]
        self.candidates: list[Candidate] = []
        self.seen: dict[int, LockState] = {}
        self.places = [place for thread in threads for place in thread.places]
        self._frames = {place.frame for place in self.places}
        self._locks: dict[int, int | None] = {}
        self._wait_code = find_wait_code(interp)
        self._givers: Givers | None = None
        self.waits = [(wait.ident, self._lock_of(one)) for wait in waits for one in {wait.object, *wait.chain} if one]
        for thread in threads:
            for at, place in enumerate(thread.places):
                self._look(thread, at, place)

    def owned(self) -> Iterator[Hold]:
        """The locks that keep their owner: those that a frame mentions and those that are waited for."""
        for _, address in self.waits:
            self._see(address)
        for lock in self.seen.values():
            owner = next((one for one in self.threads if lock.owner_ident and one.ident == lock.owner_ident), None)
            if lock.kind in OWNED and owner is not None and lock.locked:
                times = f", {lock.count} times" if (lock.count or 0) > 1 else ""
                evidence = f"the lock says that its owner is the thread with the ident {owner.ident:#x}{times}"
                yield Hold(owner, lock.address, lock.kind, "certain", evidence)

    def taken(self) -> Iterator[Hold]:
        """The locks that do not say who has them."""
        for one in self.candidates:
            doubts = [*one.doubts, *self._doubts(one)]
            certainty: Certainty = "likely" if doubts else "certain"
            evidence = one.evidence + "".join(f"; but {doubt}" for doubt in doubts[:1])
            yield Hold(one.thread, one.lock.address, one.lock.kind, certainty, evidence, one.place)

    def _look(self, thread: PythonThread, at: int, place: Place) -> None:
        try:
            self._look_at_blocks(thread, at, place, [])
            self._look_at_calls(thread, at, place)
            for value in read_value_stack(self.interp, place):
                self._look_at_generator(thread, at, find_generator_place(self.interp, value), [])
        except ReadError as error:
            self.problems.append(f"a frame of thread {_name(thread)} was not read: {error}")

    def _look_at_blocks(self, thread: PythonThread, at: int, place: Place, doubts: list[str]) -> None:
        for block in find_with_blocks(self.interp, place):
            lock = self._see(self._lock_of(block.manager))
            if lock is not None and lock.kind in TAKEN:
                self._add(Candidate(thread, at, place, lock, self._describe_with(place, block), [*doubts]))
            elif lock is None and len(doubts) < GENERATORS_LIMIT:
                self._look_at_generator(thread, at, find_manager_place(self.interp, block.manager), doubts)

    def _look_at_generator(self, thread: PythonThread, at: int, place: Place | None, doubts: list[str]) -> None:
        """A generator that a frame works with, and that is not running itself."""
        if place is not None and place.frame not in self._frames:
            self.places.append(place)
            self._look_at_blocks(thread, at, place, [*doubts, "the generator may have been begun elsewhere"])

    def _look_at_calls(self, thread: PythonThread, at: int, place: Place) -> None:
        """`acquire()` behind us and `release()` of the same lock before us."""
        calls = find_lock_calls(self.interp, place.code)
        means = [(call, self._see(self._receiver(place, call))) for call in calls]
        for address in {lock.address for _, lock in means if lock is not None and lock.kind in TAKEN}:
            lock = self.seen[address]
            of_lock = [call for call, found in means if found is lock]
            behind = [call for call in of_lock if call.start <= place.lasti]
            ahead = [call for call in of_lock if call.start > place.lasti and call.method in GIVING]
            if not behind or not ahead or behind[-1].method not in TAKING or behind[-1].end > place.lasti:
                continue
            if (thread.ident, address) not in self.waits:
                doubt = "what acquire() returned, and what happened since, leaves no trace"
                self._add(Candidate(thread, at, place, lock, self._describe_call(place, behind[-1]), [doubt]))

    def _receiver(self, place: Place, call: LockCall) -> int | None:
        found = evaluate(self.interp, place, call.receiver) if call.receiver else None
        return self._lock_of(found) if found else None

    def _lock_of(self, address: int) -> int | None:
        if address not in self._locks:
            try:
                self._locks[address] = find_lock(self.interp, address)
            except ReadError as error:
                self.problems.append(f"an object was not read: {error}")
                self._locks[address] = None
        return self._locks[address]

    def _see(self, address: int | None) -> LockState | None:
        if address and address not in self.seen:
            lock = read_lock(self.interp, address)
            if lock is None:
                return None
            self.seen[address] = lock
        return self.seen[address] if address else None

    def _add(self, one: Candidate) -> None:
        """A candidate whose lock is free, or given back for as long as it waits, is none."""
        is_free = one.lock.locked is False and one.lock.kind != "semaphore"
        waits = [place for place in one.thread.places[: one.at] if self._is_wait(place, one.lock.address)]
        if is_free or any(find_slot(self.interp, place, "saved_state") for place in waits):
            return
        if waits:
            one.doubts.append("Condition.wait is about to give it back")
        self.candidates.append(one)

    def _is_wait(self, place: Place, lock: int) -> bool:
        if place.code not in self._wait_code:
            return False
        condition = find_slot(self.interp, place, "self")
        return condition is not None and self._lock_of(condition) == lock

    def _doubts(self, one: Candidate) -> Iterator[str]:
        others = {(other.thread.tstate, other.place.frame) for other in self.candidates if other.lock is one.lock}
        if one.lock.kind == "process_lock":
            yield "another process may have taken it since"
        if one.lock.kind == "lock" and len(others) > 1:
            yield f"{len(others)} frames may hold it"
        if one.lock.locked is None:
            yield "whether it is locked is not known"
        if one.thread.kernel is not None and not one.thread.kernel.stood_still:
            yield "the thread may have run while it was read"
        yield from self.problems
        if not one.doubts:  # the search for such calls is long, and changes nothing for one that is likely anyway
            yield from self._doubts_of_code(one)

    def _doubts_of_code(self, one: Candidate) -> Iterator[str]:
        try:
            self._givers = self._givers or Givers(self.interp, self.places)
            found = self._givers.find(one.lock.address, one.place)
        except ReadError as error:
            yield f"not all code was read that may give it back: {error}"
            return
        if found is not None:
            frame = read_frame(self.interp, found.code, found.call.start)
            what = f"{found.call.receiver or '...'}.{found.call.method}"
            yield f"{what} at {frame.file}:{frame.line} in {frame.function} may give it back"
        elif not self._givers.is_complete:
            yield "the program has too much code to see that nothing gives it back"

    def _describe_with(self, place: Place, block: WithBlock) -> str:
        found = find_expression(self.interp, place.code, block.enters_at)
        frame = read_frame(self.interp, place.code, block.enters_at)
        where = f"`with {found or '...'}` at {frame.file}:{frame.line} in {frame.function}"
        return f"{where}: its __exit__ is on the frame's evaluation stack"

    def _describe_call(self, place: Place, call: LockCall) -> str:
        frame = read_frame(self.interp, place.code, call.start)
        where = f"`{call.receiver}.{call.method}()` at {frame.file}:{frame.line} in {frame.function}"
        return f"{where}, whose release() is still to come"


def _name(thread: PythonThread) -> str:
    return str(thread.tid or f"{thread.ident:#x}")
