"""Frames that have taken a lock and, as far as their code tells, not given it back.

Inside `with lock`, its own or that of a generator or ExitStack that it works with; or between `lock.acquire()` and
`lock.release()`; or interrupted in the very call. What makes each less than certain is in its doubts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Protocol

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_attributes
from lastwords.cpython.bytecode import once
from lastwords.cpython.code import read_frame
from lastwords.cpython.dicts import read_items
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.exit_stacks import find_entered
from lastwords.cpython.holding.expressions import evaluate, find_expression
from lastwords.cpython.holding.generators import (
    find_generator_place,
    find_manager_place,
    is_generator,
    read_generator_place,
)
from lastwords.cpython.holding.interrupted import Interrupted
from lastwords.cpython.holding.lock_calls import GIVING, TAKING, LockCall, find_lock_calls
from lastwords.cpython.holding.program_code import find_wait_code
from lastwords.cpython.holding.releases import find_lock
from lastwords.cpython.holding.with_blocks import WithBlock, find_with_blocks
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import LockState, read_lock
from lastwords.cpython.slots import find_slot
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.types import type_of
from lastwords.cpython.value_stack import read_value_stack, read_whole_frame

SEMAPHORES = ("semaphore", "process_semaphore")  # of which several may have a unit
TAKEN = ("lock", "process_lock", *SEMAPHORES)  # of these a frame is all that tells who has them
NESTING_LIMIT = 8  # generators in generators
WAITS_LIMIT = 64  # calls of Condition.wait in one stack: signal handlers may make a second
ASIDE_LIMIT = 1_000  # frames whose variables are looked through for generators
VALUES_LIMIT = 256  # of one frame, or module, that may be generators
RESUMED = "whoever has the generator may let it go on"
ELSEWHERE = "the generator may have been begun elsewhere"
HANDED = "an ExitStack may have been handed what is entered elsewhere"
INTERRUPTED = "what runs further in may have come while it still waited for it"
UNSEEN = "what acquire() returned, and what happened since, leaves no trace"

Found = tuple[Place, int, LockState, str, list[str]]  # the frame, its instruction, the lock, the evidence, the doubts


class Taker(msgspec.Struct):
    """A frame that has taken a lock.

    at: how many frames of its thread are further in; took: its instruction that did so
    """

    thread: PythonThread
    at: int
    place: Place
    took: int
    lock: LockState
    evidence: str
    doubts: list[str] = []


class Waiting(Protocol):
    """What is needed of a wait (waits.Wait): the ident of who waits, the addresses of what for and of what is below."""

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def ident(self) -> int | None: ...  # noqa: D102

    @property
    def object(self) -> int | None: ...  # noqa: D102

    @property
    def chain(self) -> tuple[int, ...]: ...  # noqa: D102


class Takers:
    """All frames of all threads, looked through once.

    found: the frames that have taken a lock that is not free
    locks: all locks that were met, by their addresses
    places: the frames, those of suspended generators, too
    problems: what could not be read, so that a taker may be missing
    """

    def __init__(self, interp: Interpreter, threads: Sequence[PythonThread], waits: Sequence[Waiting]) -> None:
        self.interp = interp
        self.found: list[Taker] = []
        self.locks: dict[int, LockState] = {}
        self.places = [place for thread in threads for place in thread.places]
        self.problems = [f"the stack of thread {_name(one)} was read in part" for one in threads if one.error]
        self._frames = {place.frame for place in self.places}
        self._frame_struct = "_PyInterpreterFrame" if interp.has("_PyInterpreterFrame") else "PyFrameObject"
        self._generators: set[int] = set()
        self._aside: set[int] = set()  # what variables name, and was looked at
        self._known: dict[int, LockState | None] = {}
        self._waits = set(self._list_waits(waits))
        code = find_wait_code(interp)
        self._in_calls = Interrupted(interp)
        interrupted: list[Taker] = []
        for thread in threads:
            waiting = [(at, one) for at, one in enumerate(thread.places) if one.code in code][:WAITS_LIMIT]
            for at, place in enumerate(thread.places):
                self._look(thread, at, place, [one for index, one in waiting if index < at])
                interrupted += self._interrupted(thread, at, place) if at else []
        self.found += [one for one in interrupted if one.lock.address not in self._taken]
        self._look_aside(threads, [one.object for one in waits if one.kind == "lock" and one.object])

    def _list_waits(self, waits: Sequence[Waiting]) -> Iterator[tuple[int, int]]:
        """(ident of a thread, the address of a lock that it waits for)."""
        for wait in waits:
            for one in {wait.object, *wait.chain}:
                if wait.ident and one and (lock := self._find(one)):
                    yield wait.ident, lock.address

    @property
    def _taken(self) -> set[int]:
        return {one.lock.address for one in self.found}

    def _look(self, thread: PythonThread, at: int, place: Place, waiting: list[Place]) -> None:
        for search in (self._in_blocks(place, []), self._between_calls(thread, at, place), self._in_values(place)):
            try:
                takers = [Taker(thread, at, *one) for one in search]
                self.found += [one for one in takers if self._has_it_still(one, waiting)]
            except ReadError as error:
                self.problems.append(f"a frame of thread {_name(thread)} was not read: {error}")

    def _look_aside(self, threads: Sequence[PythonThread], wanted: Iterable[int]) -> None:
        """Where somebody waits for a lock that no frame has: at the generators that the frames' variables name."""
        waited = {lock.address for one in wanted if (lock := self._find(one)) and lock.locked and lock.kind in TAKEN}
        missing = waited - self._taken
        frames = ((one, at, place) for one in threads for at, place in enumerate(one.places))
        for thread, at, place in islice(frames, ASIDE_LIMIT if missing else 0):
            with suppress(ReadError):
                found = self._in_variables(place)
                self.found += [Taker(thread, at, *one) for one in found if one[2].address in missing]

    def _in_variables(self, place: Place) -> Iterator[Found]:
        values = read_whole_frame(self.interp, place)
        variables, own = self.interp.numbers(place.frame, self._frame_struct, "f_globals", "f_locals")
        if variables == own:  # the frame of a module
            values += [value for _, value in read_items(self.interp, variables, VALUES_LIMIT)]
        unseen = [one for one in values if one not in self._aside]
        self._aside.update(unseen)
        for value in unseen:
            with suppress(ReadError):  # what is no longer in use may be anything
                for one in self._list_generators(value):
                    yield from self._in_generator(read_generator_place(self.interp, one), [RESUMED])

    def _list_generators(self, value: int) -> list[int]:
        """The value itself; or what it has, if it is a cell or an instance of a class that is written in Python."""
        kind = type_of(self.interp, value)
        values = [value]
        if kind.is_static("cell"):
            values = [self.interp.number(value, "PyCellObject", "ob_ref")]
        elif kind.is_heap or kind.is_static("instance"):
            values = [one for _, one in read_attributes(self.interp, value)[:VALUES_LIMIT]]
        return [one for one in values if one and is_generator(type_of(self.interp, one))]

    def _interrupted(self, thread: PythonThread, at: int, place: Place) -> Iterator[Taker]:
        """A signal handler, say, runs further in, since the frame was in a call of C that takes a lock."""
        try:
            found = self._in_calls.find(place)
            lock = self._find(found) if found else None
            if lock is not None and lock.kind == "lock" and lock.locked:
                frame = read_frame(self.interp, place.code, place.lasti)
                evidence = f"interrupted in {frame.function} at {frame.file}:{frame.line}, where it takes it or has it"
                yield Taker(thread, at, place, place.lasti, lock, evidence, [INTERRUPTED])
        except ReadError as error:
            self.problems.append(f"a frame of thread {_name(thread)} was not read: {error}")

    def _in_blocks(self, place: Place, doubts: list[str]) -> Iterator[Found]:
        for block in find_with_blocks(self.interp, place):
            lock = self._find(block.manager)
            if lock is not None:
                yield place, block.enters_at, lock, self._describe(place, block), [*doubts]
            elif len(doubts) < NESTING_LIMIT:
                yield from self._in_generator(find_manager_place(self.interp, block.manager), doubts)
                for one in find_entered(self.interp, block.manager):
                    if lock := self._find(one):
                        yield place, block.enters_at, lock, self._describe(place, block), [*doubts, HANDED]

    def _in_generator(self, place: Place | None, doubts: list[str]) -> Iterator[Found]:
        """A generator that a frame works with, and that is not running itself."""
        if place is not None and place.frame not in self._frames:
            self.places += [place] * (place.frame not in self._generators)
            self._generators.add(place.frame)
            yield from self._in_blocks(place, [*doubts, ELSEWHERE])

    def _in_values(self, place: Place) -> Iterator[Found]:
        """The generators of `for` loops."""
        for value in read_value_stack(self.interp, place)[:VALUES_LIMIT]:
            yield from self._in_generator(find_generator_place(self.interp, value), [])

    def _between_calls(self, thread: PythonThread, at: int, place: Place) -> Iterator[Found]:
        """`acquire()` behind us and `release()` of the same lock before us."""
        known = find_lock_calls(self.interp, place.code)
        if not any(call.method in TAKING and call.end <= place.lasti for call in known):
            return
        for address, of_lock in self._group_calls(place).items():
            behind = [call for call in of_lock if call.start <= place.lasti]
            ahead = [call for call in of_lock if call.start > place.lasti and call.method in GIVING]
            is_taken = bool(behind) and behind[-1].method in TAKING and behind[-1].end <= place.lasti
            if is_taken and ahead and not self._is_given_further_in(thread, at, address):
                taken = behind[-1]
                yield place, taken.start, self.locks[address], self._describe_call(place, taken), [UNSEEN]

    def _group_calls(self, place: Place) -> dict[int, list[LockCall]]:
        """The calls in a frame's code that take or give back a lock, by the lock's address."""
        calls: dict[int, list[LockCall]] = {}
        for call in find_lock_calls(self.interp, place.code):
            found = evaluate(self.interp, place, call.receiver) if call.receiver else None
            if found and (lock := self._find(found)):
                calls.setdefault(lock.address, []).append(call)
        return calls

    def _is_given_further_in(self, thread: PythonThread, at: int, lock: int) -> bool:
        """Whether the thread waits for the lock, and a frame on the way there may have given it back before."""
        if (thread.ident, lock) not in self._waits:
            return False
        for place in thread.places[:at]:
            given = [one for one in self._group_calls(place).get(lock, ()) if one.method in GIVING]
            if any(one.start <= place.lasti for one in given):
                return True
        return not at

    def _find(self, address: int) -> LockState | None:
        """The lock that one takes by the object at `address`; one that cannot be read is a problem, and None."""
        if address not in self._known:
            self._known[address] = self._read(address)
        return self._known[address]

    def _read(self, address: int) -> LockState | None:
        try:
            found = find_lock(self.interp, address)
            if found is not None and found not in self.locks and (lock := read_lock(self.interp, found)):
                self.locks[found] = lock
        except ReadError as error:
            self.problems.append(f"an object was not read: {error}")
            return None
        return self.locks.get(found or 0)

    def _has_it_still(self, one: Taker, waiting: list[Place]) -> bool:
        """A free lock nobody has; a lock of processes, of the threads here, who took it last and has not given it back.

        And Condition.wait has given its lock back when it knows how to take it again.
        """
        if one.lock.kind not in TAKEN or (one.lock.locked is False and one.lock.kind not in SEMAPHORES):
            return False
        if one.lock.kind == "process_lock" and one.thread.ident not in (0, one.lock.taker_ident):
            return False
        waits = [place for place in waiting if self._waits_on(place, one.lock)]
        if any(find_slot(self.interp, place, "saved_state") for place in waits):
            return False
        one.doubts += ["Condition.wait is about to give it back"] * bool(waits)
        return True

    def _waits_on(self, place: Place, lock: LockState) -> bool:
        condition = find_slot(self.interp, place, "self")
        return condition is not None and self._find(condition) is lock

    def _describe(self, place: Place, block: WithBlock) -> str:
        """The same for every frame that stands in this block."""
        return once(self.interp, place.code, f"with {block.enters_at}", lambda: self._describe_block(place, block))

    def _describe_block(self, place: Place, block: WithBlock) -> str:
        try:
            found = find_expression(self.interp, place.code, block.enters_at)
        except ReadError:
            found = None
        frame = read_frame(self.interp, place.code, block.enters_at)
        where = f"`with {found or '...'}` at {frame.file}:{frame.line} in {frame.function}"
        return f"{where}: its __exit__ is on the frame's evaluation stack"

    def _describe_call(self, place: Place, call: LockCall) -> str:
        frame = read_frame(self.interp, place.code, call.start)
        where = f"`{call.receiver}.{call.method}()` at {frame.file}:{frame.line} in {frame.function}"
        return f"{where}, whose release() is still to come"


def _name(thread: PythonThread) -> str:
    return str(thread.tid or f"{thread.ident:#x}")
