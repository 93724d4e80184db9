"""What the parts that tell of one moment's greenlets have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import LockState
from lastwords.cpython.names import find_name
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.waiting.waiting_functions import Waiting, read_waiting_functions
from lastwords.examine.entities import Entities, tolerated
from lastwords.greenlets.cython_fields import Fields
from lastwords.greenlets.gevent import Gevent
from lastwords.greenlets.greenlet import GreenletState, read_frames
from lastwords.greenlets.hub_loop import read_loop_state
from lastwords.greenlets.locks import GreenLock, Locks
from lastwords.greenlets.loop_model import LoopState
from lastwords.greenlets.module import Module
from lastwords.greenlets.waits_classes import find_classes
from lastwords.greenlets.walk import Walked
from lastwords.model import Greenlet, Thread

if TYPE_CHECKING:  # it calls us
    from lastwords.examine.read import Source

NAMES_LIMIT = 50  # objects of a kind whose names are looked for
Pairs = Sequence[tuple[Greenlet, GreenletState]]


class Scene:
    """One moment's greenlets, as the report has them and as they were read; and its threads.

    classes: gevent's, empty without gevent
    problems: stacks that could not be read to their ends
    """

    def __init__(self, entities: Entities, source: Source, gevent: Gevent, module: Module) -> None:
        self.entities, self.source, self.gevent, self.module = entities, source, gevent, module
        self.interp: Interpreter = source.interp
        self.fields: Fields = gevent.fields
        self.pairs: Pairs = ()
        self.threads: Sequence[PythonThread] = ()
        self.problems = 0
        self._names = Counter[str]()

    @cached_property
    def classes(self) -> dict[int, str]:
        """Raises ReadError."""
        return find_classes(self.interp)

    @cached_property
    def ids(self) -> dict[int, str]:
        """The id of each greenlet, by its address."""
        return {found.address: greenlet.id for greenlet, found in self.pairs}

    @cached_property
    def _alive(self) -> set[int]:
        """The greenlets that have not ended."""
        return {found.address for greenlet, found in self.pairs if greenlet.state != "dead"}

    @cached_property
    def actors(self) -> dict[str, Greenlet | Thread]:
        """All that may wait or hold, by their ids."""
        greenlets = {greenlet.id: greenlet for greenlet, _ in self.pairs}
        return {**greenlets, **{thread.id: thread for thread in self.entities.threads()}}

    @cached_property
    def hubs(self) -> dict[str | None, int]:
        """The hub of each thread, by the thread's id."""
        return {greenlet.thread: found.address for greenlet, found in self.pairs if self.is_hub(found)}

    @cached_property
    def loops(self) -> dict[int, LoopState]:
        """What could be read of each hub's loop, by the hub's address."""
        loops: dict[int, LoopState] = {}
        captured = self.source.captured
        for address in self.hubs.values():
            with tolerated(self.entities.moment, "a hub's loop"):
                loop = read_loop_state(self.fields, address, self.classes, captured.clock_start, captured.maps)
                if loop is not None:
                    loops[address] = loop
        return loops

    @cached_property
    def locks(self) -> Locks:
        """gevent's locks."""
        return Locks(self.interp, self.fields, self.classes)

    @cached_property
    def functions(self) -> dict[int, Waiting]:
        """The standard library's functions in which one waits."""
        return read_waiting_functions(self.interp)

    def is_hub(self, found: GreenletState) -> bool:
        """Whether it is one of gevent's hubs."""
        return self.classes.get(found.kind) == "hub"

    def walk(self, found: GreenletState) -> Walked:
        """The frames of a suspended greenlet, as far as they can be read."""
        walked = read_frames(self.module, found)
        self.problems += walked.error is not None
        return walked

    def places(self, found: GreenletState) -> list[Place]:
        """The same, where each stands."""
        return self.walk(found).places

    def name(self, places: Sequence[Place], address: int, kind: str) -> str | None:
        """What the program calls an object; of the first few of its kind alone: it takes a while."""
        self._names[kind] += 1
        found = find_name(self.interp, places, address) if self._names[kind] <= NAMES_LIMIT else None
        return found if found != "self" else None  # of a method of its own

    def add_lock(self, lock: GreenLock, places: Sequence[Place]) -> str:
        """The id of a lock of gevent's in the report."""
        locked = lock.count <= 0 if lock.count is not None else None
        kind = "rlock" if lock.outer else lock.kind
        gone = lock.owner if lock.levels and lock.owner not in self._alive else None
        state = LockState(lock.address, kind, lock.type, locked=locked, count=lock.count, owner_ident=gone or None)
        return self.entities.add_lock(state, lambda: self.name(places, lock.outer or lock.address, kind))
