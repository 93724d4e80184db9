"""What each suspended greenlet waits for, in gevent's words.

A candidate (waits_objects.py) counts only where the object itself says that this greenlet waits for it: the greenlet's
`switch`, or its Waiter's, is in its `_links`, `getters`, `putters`, or is what a watcher of the loop calls. So every
answer rests on addresses on both sides, and nothing stale on a stack is taken for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property

from msgspec.structs import replace

from lastwords.capture.memory import ReadError
from lastwords.capture.procfs import Mapping as Mapped
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.types import type_of
from lastwords.cpython.waiting.waiting_functions import Waiting, read_waiting_functions
from lastwords.greenlets.cython_fields import Fields
from lastwords.greenlets.greenlet import GreenletState
from lastwords.greenlets.loop_model import LoopState, Watcher, find_leading
from lastwords.greenlets.waits_child import find_child_wait
from lastwords.greenlets.waits_classes import LINKABLE, WATCHERS
from lastwords.greenlets.waits_joined import find_joined
from lastwords.greenlets.waits_library import find_library_wait
from lastwords.greenlets.waits_links import read_linked, read_queued
from lastwords.greenlets.waits_model import Wait, WaitKind
from lastwords.greenlets.waits_objects import Candidates, Objects
from lastwords.greenlets.waits_threads import read_thread_greenlets
from lastwords.greenlets.waits_watchers import read_watcher
from lastwords.greenlets.walk import Walked

SHAPE_FRAMES = 8
EVENTS = {1: "read", 2: "written", 3: "read or written"}
LINKED: dict[str, tuple[WaitKind, str]] = {
    "event": ("event", "an Event to be set"),
    "result": ("event", "an AsyncResult"),
    "semaphore": ("lock", "a Semaphore"),
    "lock": ("lock", "a lock"),
    "greenlet": ("join", "the end of a greenlet"),
}


class Waits:
    """Reads the waits of one moment's greenlets, one after the other.

    `loops`: by hub, those that could be read
    """

    def __init__(
        self,
        interp: Interpreter,
        fields: Fields,
        classes: dict[int, str],
        maps: Sequence[Mapped],
        loops: Mapping[int, LoopState],
    ) -> None:
        self.interp, self.fields, self.classes, self.loops = interp, fields, classes, loops
        self._ends: dict[int, dict[int, list[Watcher]]] = {}
        self.objects = Objects(interp, classes, maps)
        self.functions: dict[int, Waiting] = read_waiting_functions(interp)
        self._linked: dict[int, set[int]] = {}

    def read(self, found: GreenletState, walked: Walked, hub: int) -> Wait:
        """What the greenlet waits for; `unknown` where nothing says more than that it is suspended."""
        shape = (found.kind, found.stack.saved, walked.alike.stands[:SHAPE_FRAMES])
        loop = self.loops.get(hub)
        told = self._judge(found, self.objects.find_again(shape, found.stack), loop)
        if told is None or told[0].certainty != "certain" or told[0].kind == "unknown":
            told = self._judge(found, self.objects.find(found.stack, walked.places), loop)
            if told is not None:
                self.objects.remember(shape, found.stack, told[1])
        if told is None:
            told = Wait(kind="unknown", detail="that somebody switches to it"), [found.address]
        wait = self._with_library(told[0], walked)
        return self._with_deadline(wait, found.address, told[1], loop)

    def _judge(
        self, found: GreenletState, candidates: Candidates, loop: LoopState | None
    ) -> tuple[Wait, list[int]] | None:
        """The wait, and the objects that tell of it."""
        for address, kind in candidates.items():
            try:
                if kind in LINKABLE and found.address in self._read_linked(address):
                    return self._tell_linked(address, kind, candidates), [address, *self._over(address, candidates)]
                if kind == "waiter" and self.fields.read(address, "greenlet") == found.address:
                    return self._follow(address, candidates, loop) or self._tell_bare(address, found)
            except ReadError:
                continue
        return None

    def _read_linked(self, address: int) -> set[int]:
        """See read_linked; thousands may wait for one object, which is read once."""
        if address not in self._linked:
            self._linked[address] = read_linked(self.fields, address)
        return self._linked[address]

    def _over(self, semaphore: int, candidates: Candidates) -> list[int]:
        """The RLock that stands on this semaphore, if it is one of the candidates."""
        for address, kind in candidates.items():
            with suppress(ReadError):
                if kind == "rlock" and self.fields.read(address, "_block") == semaphore:
                    return [address]
        return []

    def _tell_linked(self, address: int, kind: str, candidates: Candidates) -> Wait:
        model, detail = LINKED[kind]
        over = self._over(address, candidates) if kind == "semaphore" else []
        if over:
            return Wait(kind=model, object=over[0], object_kind="rlock", below=address, detail="an RLock")
        joined = address if kind == "greenlet" else None
        return Wait(kind=model, object=None if joined else address, object_kind=kind, greenlet=joined, detail=detail)

    def _tell_bare(self, waiter: int, found: GreenletState) -> tuple[Wait, list[int]]:
        """A Waiter that nothing known will switch to; `Hub.join` makes one in the main greenlet."""
        if found.is_main:
            return Wait(kind="hub", detail="that the hub's loop ends", certainty="likely"), [waiter]
        return Wait(kind="unknown", detail="that somebody switches to its Waiter"), [waiter]

    def _follow(self, waiter: int, candidates: Candidates, loop: LoopState | None) -> tuple[Wait, list[int]] | None:
        """From a Waiter to who will call its `switch`; None where that is not known."""
        watchers = [one for one in self._watchers(candidates) if one.leads_to(waiter)]
        source = find_leading(watchers, waiter) or (find_leading(loop.watchers, waiter) if loop else None)
        if source is not None and source.kind != "timer":
            return self._tell_watcher(source, loop), [waiter, source.address]
        for address, kind in candidates.items():
            with suppress(ReadError):
                if kind in ("queue", "channel") and (told := self._tell_queue(address, kind, waiter)):
                    return told, [waiter, address]
        if source is not None and self._is_slept(source, waiter):
            return self._tell_watcher(source, loop), [waiter, source.address]
        linked = [one for one, kind in candidates.items() if kind in LINKABLE and self._links(one, waiter)]
        joined = find_joined(self.fields, self.classes, candidates, waiter, linked)
        if joined is not None:
            return joined, [waiter, *linked]
        if loop is not None and any(waiter == one.bound or waiter in one.arguments for one in loop.callbacks):
            return Wait(kind="hub", detail="its turn: the hub is about to switch to it", is_ready=True), [waiter]
        return None

    def _is_slept(self, timer: Watcher, waiter: int) -> bool:
        """Whether it is the timer alone that is waited for, by `Hub.wait`, and not also what it puts an end to.

        That hands the Waiter over as what the timer is to call it with; gevent 1.0 a plain object.
        """
        if waiter in timer.arguments:
            return True
        return len(timer.arguments) == 1 and type_of(self.interp, timer.arguments[0]).is_static("object")

    def _watchers(self, candidates: Candidates) -> Iterable[Watcher]:
        for address, kind in candidates.items():
            if kind in WATCHERS:
                with suppress(ReadError):
                    yield read_watcher(self.fields, address, kind)

    def _links(self, address: int, waiter: int) -> bool:
        try:
            return waiter in self._read_linked(address)
        except ReadError:
            return False

    def _tell_queue(self, address: int, kind: str, waiter: int) -> Wait | None:
        getters, putters = read_queued(self.fields, address)
        if waiter in getters:
            return Wait(kind="queue", object=address, object_kind=kind, detail=f"an item of a {kind}")
        if waiter in putters:
            return Wait(kind="queue", object=address, object_kind=kind, detail=f"room in a {kind}")
        return None

    def _tell_watcher(self, source: Watcher, loop: LoopState | None) -> Wait:
        if source.kind == "timer":
            until = loop.date(source.at) if loop else None
            return Wait(kind="sleep", detail="sleeps", until=until, has_timeout=True)
        if source.kind == "io":
            how = EVENTS.get(source.events & 3, "ready")
            return Wait(
                kind="io", detail=f"waits for fd {source.fd} to be {how}", fd=source.fd, events=source.events & 3
            )
        if source.kind == "child":
            return Wait(kind="process", detail=f"waits for the end of process {source.number}", pid=source.number)
        if source.kind == "signal":
            return Wait(kind="event", detail=f"signal {source.number}")
        return Wait(kind="event", detail="what another thread is to send (an async watcher)")

    def _with_library(self, wait: Wait, walked: Walked) -> Wait:
        """Where something stands on an object of gevent's (`threading`, `queue`, Popen): what is waited for itself."""
        if wait.object_kind == "result":
            return find_child_wait(self.interp, self.fields, self.classes, walked.places, wait) or wait
        if wait.object is None or wait.object_kind not in ("lock", "semaphore"):
            return wait
        found = find_library_wait(self.interp, self.fields, self.functions, walked.places, wait) or wait
        ended = self._threads.get(found.object or 0) if found.object_kind in ("thread", "lock") else None
        return replace(found, kind="join", greenlet=ended, detail="the end of a thread") if ended else found

    @cached_property
    def _threads(self) -> dict[int, int]:
        return read_thread_greenlets(self.interp)

    def _with_deadline(self, wait: Wait, greenlet: int, used: Sequence[int], loop: LoopState | None) -> Wait:
        """Until a timer throws a Timeout into it, or wakes its Waiter."""
        if loop is None or wait.has_timeout:
            return wait
        waited = used[0] if used[0] != wait.greenlet else 0  # a timer that starts what is joined ends no wait
        near = [*self._timers_of(loop, greenlet), *self._timers_of(loop, waited)]
        timers = [one for one in near if self._throws(one, greenlet) or (waited and one.leads_to(waited))]
        ends = [one.at for one in timers if one.at is not None]
        return replace(wait, until=loop.date(min(ends)), has_timeout=True) if ends else wait

    def _timers_of(self, loop: LoopState, address: int) -> list[Watcher]:
        """The timers that call something of this object's, or are told it."""
        if loop.address not in self._ends:
            found = self._ends[loop.address] = {}
            for timer in loop.timers:
                for one in {timer.callback, *timer.arguments}:
                    found.setdefault(one, []).append(timer)
        return self._ends[loop.address].get(address, [])

    def _throws(self, timer: Watcher, greenlet: int) -> bool:
        """Whether it calls the greenlet's `throw`, or a Timeout that is told the greenlet."""
        if timer.callback == greenlet:
            return True
        if greenlet not in timer.arguments or not timer.callback:
            return False
        with suppress(ReadError):
            return self.classes.get(self.interp.number(timer.callback, "PyObject", "ob_type")) == "timeout"
        return False
