"""What greenlets wait for, and what their hubs have to do: the readers' words as the report's relations."""

from __future__ import annotations

from lastwords.capture.kernel.facts import Facts
from lastwords.capture.kernel.kernel_wait import KernelWait
from lastwords.capture.kernel.serving import is_serving
from lastwords.capture.memory import ReadError
from lastwords.cpython.locks import LockState
from lastwords.cpython.types import type_name, type_of
from lastwords.examine.entities import tolerated
from lastwords.examine.greenlet_holds import HoldsOfMoment
from lastwords.examine.greenlet_scene import Scene
from lastwords.examine.hubs import add_hubs
from lastwords.examine.wakers import add_wakers
from lastwords.greenlets.greenlet import GreenletState
from lastwords.greenlets.locks import GreenLock
from lastwords.greenlets.waits import Waits
from lastwords.greenlets.waits_links import read_number
from lastwords.greenlets.waits_model import Wait
from lastwords.greenlets.walk import Walked
from lastwords.model import Edge, Greenlet, WaitsFor

KINDS = {"result": "async_result"}
PEERS_LIMIT = 100  # descriptors whose other end is looked for
TOWARDS = {1: "to read from", 2: "to write to"}


def add_greenlet_relations(scene: Scene) -> None:
    """The waits and holds of the moment's greenlets, and the state of its hubs."""
    with tolerated(scene.entities.moment, "what greenlets wait for"):
        if scene.classes:
            _Relations(scene).add()
            add_hubs(scene)
            add_wakers(scene)


class _Relations:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.waits = Waits(scene.interp, scene.fields, scene.classes, scene.source.captured.maps, scene.loops)
        self.waited: list[GreenLock] = []
        self.peers = 0

    def add(self) -> None:
        """Of all greenlets; threads may hold what these wait for."""
        holds = HoldsOfMoment(self.scene)
        for greenlet, found in self.scene.pairs:
            if greenlet.state == "suspended" and not self.scene.is_hub(found):
                walked = self.scene.walk(found)
                self._add_wait(greenlet, found, walked)
                holds.look_at_walked(found.address, greenlet.id, walked)
        for thread in self.scene.threads:
            holds.look(thread.tstate, self.scene.entities.state_id(thread), thread.places)
        holds.add(self.waited)

    def _add_wait(self, greenlet: Greenlet, found: GreenletState, walked: Walked) -> None:
        try:
            wait = self.waits.read(found, walked, self.scene.hubs.get(greenlet.thread, 0))
            target = self.scene.ids.get(wait.greenlet or 0) or self._add_object(wait, walked)
        except ReadError as error:
            greenlet.error = greenlet.error or f"what it waits for: {error}"
            return
        greenlet.waits_for = self._describe(wait, target)
        self._add_ends(greenlet, wait)
        if target is not None:
            edge = Edge(origin=greenlet.id, to=target, kind="waits", certainty=wait.certainty, evidence=wait.detail)
            self.scene.entities.add_edge(edge)

    def _add_ends(self, greenlet: Greenlet, wait: Wait) -> None:
        """Of several greenlets whose ends are waited for, each may be the one that wakes it."""
        for one in wait.any_of:
            if one in self.scene.ids:
                origin, said = self.scene.ids[one], "its end is waited for"
                self.scene.entities.add_edge(
                    Edge(origin=origin, to=greenlet.id, kind="may_wake", certainty=wait.certainty, evidence=said)
                )

    def _add_object(self, wait: Wait, walked: Walked) -> str | None:
        """What is waited for; of an RLock the lock below it, which is what somebody holds."""
        if wait.object is None:
            return None
        lock = self.scene.locks.find(wait.object) if wait.kind == "lock" else None
        if lock is not None:
            self.waited.append(lock)
            return self.scene.add_lock(lock, walked.places)
        known = self.scene.entities.find_object(wait.object)
        if known is not None:
            return known
        kind = KINDS.get(wait.object_kind, wait.object_kind)
        name = type_name(self.scene.interp, type_of(self.scene.interp, wait.object))
        count = read_number(self.scene.fields, wait.object, "unfinished_tasks") if wait.object_kind == "queue" else None
        state = LockState(wait.object, kind, name, count=count)
        return self.scene.entities.add_lock(state, lambda: self.scene.name(walked.places, state.address, kind))

    def _describe(self, wait: Wait, target: str | None) -> WaitsFor:
        described = WaitsFor(
            kind=wait.kind,
            target=target,
            detail=wait.detail,
            certainty=wait.certainty,
            until=wait.until,
            has_timeout=wait.has_timeout,
        )
        facts = self.scene.source.facts
        if facts is not None and wait.pid is not None:
            described.pid = facts.outer_pid(wait.pid)
        if facts is not None and wait.fd is not None and self.peers < PEERS_LIMIT:
            self.peers += 1
            _add_peer(described, wait.fd, wait.events, facts)
        return described


def _add_peer(described: WaitsFor, fd: int, events: int, facts: Facts) -> None:
    """Who has the other end, and whether it waits as servers do."""
    described.detail = f"waits {TOWARDS.get(events, 'for')} {facts.describe(fd)}"
    other = facts.other_end(fd)
    described.pid = other.pids[0] if other is not None and len(other.pids) == 1 else None
    if events == 1:
        described.serves = is_serving(KernelWait("io", "poll", "", fds=(fd,)), facts)
