"""Which greenlet or thread holds which of gevent's locks.

An RLock keeps its owner. Of the others, the frame that is inside `with lock` has the lock's `__exit__` on its
evaluation stack, suspended or not: see cpython/holding/holds.py. That is certain where the lock lets one in at a time
and none is left, no other frame is inside a `with` of it, no Condition over it is being waited on there, and no code of
the program calls a `release` that may mean it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.code import read_frame
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.expressions import evaluate_global, find_expression
from lastwords.cpython.holding.releases import Giver, Givers
from lastwords.cpython.holding.with_blocks import WithBlock, find_with_blocks
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.slots import find_slot
from lastwords.cpython.waiting.waiting_functions import Waiting
from lastwords.greenlets.locks import GreenLock, Locks
from lastwords.greenlets.walk import Walked
from lastwords.model import Certainty, Frame

FRAMES_LIMIT = 200  # innermost ones of each stack


class GreenHold(msgspec.Struct, frozen=True):
    """`actor` (whatever the caller calls it) has the lock; `at`: the line by which it took it."""

    actor: str
    lock: GreenLock
    certainty: Certainty
    evidence: str
    at: Frame | None = None


class Taker(msgspec.Struct, frozen=True):
    """A frame that is inside `with lock`."""

    actor: int
    place: Place
    block: WithBlock
    lock: GreenLock
    gives_back: bool


class GreenGivers(Givers):
    """Calls of `release` that may mean a lock of gevent's."""

    locks: Locks

    def _may_give(self, giver: Giver, lock: int) -> bool:
        receiver = giver.call.receiver
        if receiver is None or not receiver.is_global:
            return True
        found = evaluate_global(self.interp, giver.variables, receiver)
        other = self.locks.find(found) if found else None
        return not found or (other is not None and other.address == lock)


class Holds:
    """Looks through all stacks, then tells who has what.

    native: the frames that are inside `with` of something that is no lock of gevent's, by their actors
    """

    def __init__(self, interp: Interpreter, locks: Locks, functions: Mapping[int, Waiting]) -> None:
        self.interp, self.locks, self.functions = interp, locks, functions
        self.takers: list[Taker] = []
        self.places: list[Place] = []
        self.native: dict[int, list[Place]] = {}
        self.problems = 0
        self._without: set[tuple[int, int]] = set()  # places in code where no `with` block is
        self._plain: set[int] = set()  # numbers of stacks that are alike, and are in none

    def look(self, actor: int, places: Sequence[Place]) -> None:
        """Remembers what the frames of this stack are inside of."""
        waited = list(self._find_waited(places[:FRAMES_LIMIT]))
        for place in places[:FRAMES_LIMIT]:
            key = (place.code, place.lasti)
            if key in self._without:
                continue
            try:
                blocks = find_with_blocks(self.interp, place)
            except ReadError:
                self.problems += 1
                continue
            if not blocks:
                self._without.add(key)
            for block in blocks:
                self._look_at(actor, place, block, waited)
            self.places += [place] * bool(blocks)

    def look_at_walked(self, actor: int, walked: Walked) -> None:
        """The same; of those that stand alike in no `with` block only the first is looked at."""
        if walked.alike.number in self._plain:
            return
        places = walked.places
        self.look(actor, places)
        if self._without.issuperset((place.code, place.lasti) for place in places[:FRAMES_LIMIT]):
            self._plain.add(walked.alike.number)

    def _look_at(self, actor: int, place: Place, block: WithBlock, waited: Sequence[int]) -> None:
        try:
            lock = self.locks.find(block.manager)
        except ReadError:
            self.problems += 1
            return
        if lock is not None:
            self.takers.append(Taker(actor, place, block, lock, lock.address in waited))
        else:
            self.native.setdefault(actor, []).append(place)

    def _find_waited(self, places: Sequence[Place]) -> Iterator[int]:
        """The locks of the Conditions that are being waited on in this stack, and so are given back."""
        for place in places:
            of_library = self.functions.get(place.code)
            if of_library is not None and of_library.kind == "condition":
                with suppress(ReadError):
                    owner = find_slot(self.interp, place, "self")
                    lock = self.locks.find(owner) if owner else None
                    if lock is not None:
                        yield lock.address

    def tell(self, waited: Sequence[GreenLock], actors: Mapping[int, str]) -> Iterator[GreenHold]:
        """Who has the locks that frames are inside of, and those that are waited for.

        actors: what they are called, by the numbers that stacks were looked at by, and by running greenlets
        """
        told: set[tuple[str, int]] = set()
        for lock in [*waited, *(one.lock for one in self.takers)]:
            actor = actors.get(lock.owner)
            if lock.outer and lock.levels and actor is not None and (actor, lock.address) not in told:
                told.add((actor, lock.address))
                evidence = f"the RLock at {lock.outer:#x} says that its owner is the greenlet at {lock.owner:#x}"
                yield GreenHold(actor, lock, "certain", evidence, self._taken_at(actor, lock, actors))
        owned = {address for _, address in told}
        givers: GreenGivers | None = None
        for one in self.takers:
            if one.lock.address in owned or one.gives_back or self._is_free(one.lock):
                continue
            doubt = self._find_doubt(one)
            if doubt is None:
                try:
                    givers = givers or self._make_givers()
                    giver = givers.find(one.lock.address, one.place)
                    doubt = "a call of release() may mean it" if giver is not None else None
                except ReadError as error:
                    doubt = f"not all code was read that may give it back: {error}"
            certainty: Certainty = "likely" if doubt else "certain"
            evidence = self._describe(one) + (f"; but {doubt}" if doubt else "")
            yield GreenHold(actors[one.actor], one.lock, certainty, evidence, self._line(one))

    def _is_free(self, lock: GreenLock) -> bool:
        return lock.most == 1 and lock.count is not None and lock.count > 0

    def _make_givers(self) -> GreenGivers:
        made = GreenGivers(self.interp, self.places)
        made.locks = self.locks
        return made

    def _find_doubt(self, one: Taker) -> str | None:
        if one.lock.most != 1:
            return "it may let several in"
        if one.lock.count is None:
            return "whether it is taken is not known"
        others = {(other.actor, other.place.frame) for other in self.takers if other.lock.address == one.lock.address}
        if len(others) > 1:
            return f"{len(others)} frames may hold it"
        return "not all frames were read" if self.problems else None

    def _taken_at(self, actor: str, lock: GreenLock, actors: Mapping[int, str]) -> Frame | None:
        mine = (one for one in self.takers if actors[one.actor] == actor and one.lock.address == lock.address)
        first = next(mine, None)
        return self._line(first) if first is not None else None

    def _line(self, one: Taker) -> Frame | None:
        try:
            return read_frame(self.interp, one.place.code, one.block.enters_at)
        except ReadError:
            return None

    def _describe(self, one: Taker) -> str:
        found, frame = None, self._line(one)
        with suppress(ReadError):
            found = find_expression(self.interp, one.place.code, one.block.enters_at)
        where = f" at {frame.file}:{frame.line} in {frame.function}" if frame else ""
        return f"`with {found or '...'}`{where}: its __exit__ is on the frame's evaluation stack"
