"""The report's asyncio tasks and event loops, and who of them waits for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import msgspec

from lastwords.asyncio_tasks.all import Found, find_current
from lastwords.asyncio_tasks.classes import Asyncio, find_asyncio
from lastwords.asyncio_tasks.coroutines import Chain, Coroutines
from lastwords.asyncio_tasks.futures import TaskState, is_pending, read_name, read_task
from lastwords.asyncio_tasks.loops import LoopState, read_loop
from lastwords.asyncio_tasks.objects import read_state
from lastwords.asyncio_tasks.waits import OBJECTS, Await, find_blocks, find_given_back, is_own, read_await
from lastwords.asyncio_tasks.wrapped import Wrapped, find_source, find_wrapped
from lastwords.capture.memory import ReadError
from lastwords.cpython.code import read_frame
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.holds import Hold
from lastwords.cpython.holding.unknown_takes import find_unknown_take
from lastwords.cpython.holding.with_blocks import WithBlock
from lastwords.cpython.locks import LockState, read_lock
from lastwords.cpython.names import find_name
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.types import type_name, type_of
from lastwords.examine.entities import Entities, tolerated
from lastwords.examine.task_holds import find_task_holds, find_unheld
from lastwords.greenlets.stacks import Stacks
from lastwords.model import Edge, Loop, Task, WaitsFor

if TYPE_CHECKING:  # it calls us
    from lastwords.examine.read import Options, Source

HELD = ("lock", "semaphore", "condition")  # what `async with` takes


def add_tasks(entities: Entities, source: Source, options: Options, threads: Sequence[PythonThread]) -> None:
    """Add the moment's tasks and loops to the report; what cannot be read is in `moment.capture.problems`."""
    with tolerated(entities.moment, "asyncio's tasks"):
        for asyncio in find_asyncio(source.interp):
            with tolerated(entities.moment, "asyncio's tasks"):
                asyncio.check()
                _Reader(entities, asyncio, source, threads, with_locals=options.locals).add_all()


class _Known(msgspec.Struct):
    """A task with what was made of it."""

    found: TaskState
    chain: Chain
    task: Task


class _Reader:
    """Makes the entities of the tasks of one interpreter."""

    def __init__(
        self,
        entities: Entities,
        asyncio: Asyncio,
        source: Source,
        threads: Sequence[PythonThread],
        *,
        with_locals: bool,
    ) -> None:
        self.entities, self.asyncio, self.with_locals = entities, asyncio, with_locals
        self.interp = source.interp
        self.clock_start = source.captured.clock_start
        self.now = source.captured.taken_at if source.captured.is_live else None
        self.threads = [one for one in threads if _is_of(asyncio, one)]
        self.coroutines = Coroutines(self.interp, _find_running(self.threads))
        self.current: Mapping[int, PythonThread | None] = {}
        self.stacks = Stacks(self.interp)
        self.loops: dict[int, Loop] = {}
        self.known: dict[int, _Known] = {}
        self.types: dict[int, str] = {}

    def add_all(self) -> None:
        """Tasks and loops first, then what they wait for and hold: each may be told of by another."""
        found = Found(self.asyncio, self.threads)
        self._say(found.problems)
        with tolerated(self.entities.moment, "which tasks run"):
            self.current = find_current(self.asyncio, self.threads)
        unread: list[str] = []
        for address in sorted(found.addresses):
            try:
                self._add(address)
            except ReadError as error:
                unread.append(str(error))
        if unread:
            self._say([f"{len(unread)} of them could not be read: {unread[0]}"])
        self.entities.report.tasks += [one.task for one in self.known.values()]
        for one in self.known.values():
            try:
                self._relate(one)
            except ReadError as error:
                one.task.error = one.task.error or str(error)
        self._add_sources()
        self._add_native_holds()

    def _say(self, problems: Sequence[str]) -> None:
        capture = self.entities.moment.capture
        capture.problems += [f"asyncio's tasks: {one}" for one in problems]
        capture.complete = capture.complete and not problems

    def _id(self, address: int) -> str:
        return f"{self.entities.moment.id}-task-{address:x}"

    def _add(self, address: int) -> None:
        found = read_task(self.asyncio, address)
        if not found.pending:
            return
        is_current = address in self.current
        chain = self.coroutines.read_chain(found.coroutine, alone=is_current)
        task = Task(
            id=self._id(address),
            moment=self.entities.moment.id,
            address=address,
            type=self._type_name(address),
            name=read_name(self.asyncio, found),
            state=self._state(found, chain, is_current=is_current),
            cancelling=found.cancelling,
            error=chain.error,
        )
        task.stack, error = self.stacks.read(chain.places, with_locals=self.with_locals)
        task.error = task.error or error
        self.known[address] = _Known(found, chain, task)
        if found.loop:
            self._add_loop(task, found)
        if task.state == "running":
            self._add_thread(task, address, chain)

    def _type_name(self, address: int) -> str:
        kind = type_of(self.interp, address)
        if kind.address not in self.types:
            self.types[kind.address] = type_name(self.interp, kind)
        return self.types[kind.address]

    def _state(
        self, found: TaskState, chain: Chain, *, is_current: bool
    ) -> Literal["running", "waiting", "ready", "unstarted"]:
        if chain.running or is_current:
            return "running"
        if found.awaits and is_pending(self.asyncio, found.awaits):
            return "waiting"
        return "ready" if chain.begun else "unstarted"

    def _add_loop(self, task: Task, found: TaskState) -> None:
        if found.loop not in self.loops:
            self.loops[found.loop] = self._make_loop(read_loop(self.asyncio, found.loop))
            self.entities.report.loops.append(self.loops[found.loop])
        loop = self.loops[found.loop]
        task.loop = loop.id
        if task.state == "running":
            loop.task = task.id

    def _make_loop(self, state: LoopState) -> Loop:
        loop = Loop(
            id=f"{self.entities.moment.id}-loop-{state.address:x}",
            moment=self.entities.moment.id,
            address=state.address,
            type=state.type,
            thread=self.entities.find_thread(state.ident),
            ready=state.ready,
            scheduled=None if state.timers is None else len(state.timers),
            error=state.error,
        )
        if state.timers is not None and self.now is not None:
            late = [self.now - when for when in state.timers if when < self.now]
            loop.overdue = len(late)
            loop.overdue_s = max(late, default=None)
        return loop

    def _add_thread(self, task: Task, address: int, chain: Chain) -> None:
        """The thread that has the task's frame; else the one whose running task asyncio says it is, or its loop's."""
        frame = chain.places[-1].frame if chain.running else 0
        owner = next((one for one in self.threads if any(place.frame == frame for place in one.places)), None)
        owner = owner or self.current.get(address)
        if owner is not None:
            task.thread = self.entities.state_id(owner)
        elif task.loop:
            task.thread = next(loop.thread for loop in self.loops.values() if loop.id == task.loop)

    def _relate(self, one: _Known) -> None:
        if one.task.state == "waiting":
            found = read_await(self.asyncio, one.found, one.chain.places)
            if found is not None:
                self._add_wait(one, found)
        given_back = find_given_back(self.asyncio, one.chain.places)
        for place, block in find_blocks(self.asyncio, one.chain.places):
            self._add_hold(one, place, block, given_back)

    def _add_wait(self, one: _Known, found: Await) -> None:
        targets = [self._id(address) for address in found.tasks if address in self.known]
        if found.object:
            targets = [self._add_object(found.object, found.of_class, one.chain.places)]
        wrapped = [self.wrapped[one] for one in found.futures if one in self.wrapped]
        targets += [self._add_wrapped(each) for each in wrapped]
        if wrapped and found.kind == "unknown":
            found.kind, found.detail = "condition", self._describe_wrapped(wrapped[0])
        certainty = "likely" if one.task.error else found.certainty
        one.task.waits_for = WaitsFor(
            kind=found.kind,  # type: ignore[arg-type]
            target=targets[0] if len(targets) == 1 else None,
            detail=found.detail,
            certainty=certainty,
            until=self.clock_start + found.when if found.when is not None and self.clock_start is not None else None,
            has_timeout=found.has_timeout,
        )
        for target in targets:
            self.entities.add_edge(
                Edge(origin=one.task.id, to=target, kind="waits", certainty=certainty, evidence=found.detail)
            )

    @cached_property
    def wrapped(self) -> dict[int, Wrapped]:
        """What pools of threads work on for tasks."""
        with tolerated(self.entities.moment, "what pools of threads do for tasks"):
            return find_wrapped(self.asyncio, self.threads)
        return {}

    def _add_wrapped(self, one: Wrapped) -> str:
        """A concurrent future, and whoever works for it."""
        state = read_lock(self.interp, one.future) or LockState(one.future, "future", "concurrent.futures.Future")
        target = self.entities.add_lock(state, lambda: None)
        if one.worker is not None:
            self._add_work(self.entities.state_id(one.worker), target)
        return target

    def _describe_wrapped(self, one: Wrapped) -> str:
        if one.worker is None:
            return "work for a pool of threads, in its queue"
        return f"work that thread {one.worker.name or one.worker.tid} does"

    def _add_sources(self) -> None:
        """The tasks that work for the futures for which threads wait: `run_coroutine_threadsafe` gave them these."""
        waits = {one.waits_for.target for one in self.entities.threads() if one.waits_for}
        for one in self.entities.report.objects:
            if one.id in waits and one.kind == "future" and one.address is not None:
                task = self.known.get(find_source(self.asyncio, one.address) or 0)
                if task is not None:
                    self._add_work(task.task.id, one.id)

    def _add_work(self, worker: str, future: str) -> None:
        said = "it works for this future"
        self.entities.add_edge(Edge(origin=worker, to=future, kind="holds", certainty="certain", evidence=said))

    def _add_object(self, address: int, kind: str, places: Sequence[Place]) -> str:
        state = read_state(self.asyncio, address, kind)
        return self.entities.add_lock(state, lambda: self._find_name(places, address))

    def _find_name(self, places: Sequence[Place], address: int) -> str | None:
        """What the program calls it; asyncio's own frames call it `self`."""
        return find_name(self.interp, [one for one in places if not is_own(self.asyncio, one)], address)

    def _add_hold(self, one: _Known, place: Place, block: WithBlock, given_back: int | None) -> None:
        """A lock whose `async with` block the frame is in. The program may still have given it back inside."""
        manager = block.manager
        kind = next((kind for kind in OBJECTS if kind in self.asyncio.kinds(manager)), None)
        if kind not in HELD:
            return
        state = read_state(self.asyncio, manager, kind)
        if kind == "condition" and state.lock:
            manager, state = state.lock, read_state(self.asyncio, state.lock, "lock")
        if not state.locked or manager == given_back:
            return
        target = self.entities.add_lock(state, lambda: self._find_name(one.chain.places, manager))
        one.task.holds.append(target)
        at = read_frame(self.interp, place.code, block.enters_at)
        evidence = f"inside `async with` in {at.function}"
        self.entities.add_edge(
            Edge(origin=one.task.id, to=target, kind="holds", certainty="likely", evidence=evidence, at=at)
        )

    def _add_native_holds(self) -> None:
        """Of locks of CPython's own, where somebody waits for one that no thread is known to have."""
        wanted = find_unheld(self.entities.report, self.entities.moment.id)
        if not wanted:
            return
        chains = {address: one.chain for address, one in self.known.items()}
        with tolerated(self.entities.moment, "which native locks suspended coroutines hold"):
            for hold in find_task_holds(self.interp, self.threads, chains, wanted):
                self._add_native_hold(self.known[hold.thread.tstate].task, hold)
            for one in self.known.values():
                if not one.chain.running:
                    one.task.may_hold = find_unknown_take(self.interp, one.chain.places)

    def _add_native_hold(self, task: Task, hold: Hold) -> None:
        target = self.entities.find_object(hold.lock)
        if target is not None:
            task.holds.append(target)
            at = read_frame(self.interp, hold.place.code, hold.took) if hold.place else None
            self.entities.add_edge(
                Edge(origin=task.id, to=target, kind="holds", certainty=hold.certainty, evidence=hold.evidence, at=at)
            )


def _is_of(asyncio: Asyncio, thread: PythonThread) -> bool:
    return asyncio.interp.number(thread.tstate, "PyThreadState", "interp") == asyncio.state


def _find_running(threads: Sequence[PythonThread]) -> dict[int, Sequence[Place]]:
    """Of each frame that runs in a thread, itself and those further in."""
    return {place.frame: thread.places[: at + 1] for thread in threads for at, place in enumerate(thread.places)}
