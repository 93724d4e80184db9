"""Which greenlets and threads hold gevent's locks, and which native ones suspended greenlets hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lastwords.cpython.code import read_frame
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.holds import Hold, find_holds
from lastwords.cpython.locks import read_lock
from lastwords.cpython.threads import PythonThread
from lastwords.examine.entities import tolerated
from lastwords.examine.greenlet_scene import Scene
from lastwords.greenlets.holds import GreenHold, Holds
from lastwords.greenlets.locks import GreenLock
from lastwords.greenlets.walk import Walked
from lastwords.model import Edge


class HoldsOfMoment:
    """Stacks are looked at by numbers: a greenlet's by its address, a thread's by that of its state."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.holds = Holds(scene.interp, scene.locks, scene.functions)
        self.actors: dict[int, str] = {}

    def look(self, number: int, identity: str, places: Sequence[Place]) -> None:
        """One stack; `identity` is who has it in the report."""
        self.actors[number] = identity
        self.holds.look(number, places)

    def look_at_walked(self, number: int, identity: str, walked: Walked) -> None:
        """The stack of a suspended greenlet."""
        self.actors[number] = identity
        self.holds.look_at_walked(number, walked)

    def add(self, waited: Sequence[GreenLock]) -> None:
        """Into the report; `waited`: the locks that somebody waits for."""
        running = {
            found.address: greenlet.thread
            for greenlet, found in self.scene.pairs
            if greenlet.state == "running" and greenlet.thread
        }
        self.holds.problems += self.scene.problems
        actors = {**self.actors, **running}
        for hold in self.holds.tell(waited, actors):
            self._add(hold)
        with tolerated(self.scene.entities.moment, "which native locks suspended greenlets hold"):
            self._add_native()

    def _add(self, hold: GreenHold) -> None:
        target = self.scene.add_lock(hold.lock, ())
        edge = Edge(
            origin=hold.actor, to=target, kind="holds", certainty=hold.certainty, evidence=hold.evidence, at=hold.at
        )
        self._add_edge(edge)

    def _add_edge(self, edge: Edge) -> None:
        actor = self.scene.actors.get(edge.origin)
        if actor is not None and edge.to not in actor.holds:
            actor.holds.append(edge.to)
        self.scene.entities.add_edge(edge)

    def _add_native(self) -> None:
        """Locks of CPython's own that a suspended greenlet is inside of: its thread itself shows none of its frames."""
        threads = self.scene.threads
        inside = {number: places for number, places in self.holds.native.items() if number in self.scene.ids}
        if inside:
            for hold in find_holds(self.scene.interp, [*threads, *_as_threads(inside)], ()):
                if hold.thread.tstate in inside:
                    self._add_native_hold(hold)

    def _add_native_hold(self, hold: Hold) -> None:
        lock = read_lock(self.scene.interp, hold.lock)
        if lock is None:
            return
        address, places = lock.address, hold.thread.places
        edge = Edge(
            origin=self.actors[hold.thread.tstate],
            to=self.scene.entities.add_lock(lock, lambda: self.scene.name(places, address, lock.kind)),
            kind="holds",
            certainty=hold.certainty,
            evidence=hold.evidence,
            at=read_frame(self.scene.interp, hold.place.code, hold.took) if hold.place else None,
        )
        self._add_edge(edge)


def _as_threads(inside: Mapping[int, Sequence[Place]]) -> list[PythonThread]:
    return [PythonThread(tstate=number, ident=0, interpreter=0, places=list(one)) for number, one in inside.items()]
