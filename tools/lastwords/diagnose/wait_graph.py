"""The graph of waits: who cannot go on before whom.

An actor (thread, greenlet, task) waits for one thing: another actor's end, or an object. An object that somebody holds
leads on to its holder. Where several might hold it, or nobody is known to, the way ends there. A greenlet or task that
waits for nothing of these cannot go on before its thread can, where that stands in the kernel, past its hub or loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property

import msgspec
from msgspec.structs import replace

from lastwords.diagnose.actors import Actor, Actors, is_in, stand
from lastwords.model import Certainty, Edge, Evidence, Frame, Greenlet, Report, Task, Thread

CERTAINTIES: tuple[Certainty, ...] = ("certain", "likely", "possible")
CALLS = ("asyncio.events", "_run")  # Handle._run: from here on it is the program's callback


class Step(msgspec.Struct, frozen=True):
    """`waiter` cannot go on before `holder` has done something: ended, or given back what `hold` is about.

    alone: False where another thread of the holder's process could do it as well, or the waiter may have run before
        that was read
    carried: the waiter is a greenlet or a task, and the holder the thread in which it would have to run
    """

    waiter: Actor
    holder: str
    wait: Edge
    hold: Edge | None = None
    alone: bool = True
    carried: bool = False

    @property
    def certainty(self) -> Certainty:
        """As certain as what is least so."""
        least = max(CERTAINTIES.index(edge.certainty) for edge in (self.wait, self.hold) if edge)
        if not self.alone or getattr(self.waiter, "consistent", None) is False:  # or it may have run since
            least = max(least, 1)
        return CERTAINTIES[least]


class Chain(msgspec.Struct, frozen=True):
    """The steps from one actor on. `end`: the id of what the last one leads to; `cycle`: the steps that go round."""

    steps: tuple[Step, ...]
    end: str
    cycle: tuple[Step, ...] = ()


class WaitGraph:
    """Every wait of a report that has no end in time: what a timeout ends is no reason to hang.

    Where a program was stopped as it dropped an exception, what its other threads do then is nobody's hang.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.actors = Actors(report)
        self._stops = {one.id for one in report.moments if one.reason in ("unraisable", "fatal")}
        self._steps: dict[str, list[Step]] = {}
        self.waits: dict[str, Edge] = {}
        self._every: dict[str, list[Edge]] = {}
        self.holds: dict[str, list[Edge]] = {}
        for edge in report.edges:
            if edge.kind == "waits" and not self._ends_by_itself(edge.origin):
                self.waits.setdefault(edge.origin, edge)
                self._every.setdefault(edge.origin, []).append(edge)
            elif edge.kind == "holds" and not self._is_gone(edge.origin):
                self.holds.setdefault(edge.to, []).append(edge)

    def _is_gone(self, identity: str) -> bool:
        """A thread that the kernel has no more: Python 2.7 keeps what it knew of threads that a fork left behind."""
        return getattr(self.actors.by_id.get(identity), "alive", None) is False

    def judges(self, actor: Actor) -> bool:
        """Whether what it does at that moment is its own doing."""
        return actor.moment not in self._stops

    def is_halted(self, actor: Actor) -> bool:
        """Whether something outside keeps its whole process from running: how long it waits tells nothing of it."""
        process = self.actors.process(actor.id)
        return process is not None and process.halt is not None

    def _ends_by_itself(self, identity: str) -> bool:
        actor = self.actors.by_id.get(identity)
        if actor is None or not self.judges(actor):
            return True
        return actor.waits_for is not None and actor.waits_for.has_timeout

    def step(self, identity: str) -> Step | None:
        """Whom this actor waits for, the first of several; None where that is nobody, or not one alone."""
        return next(iter(self.steps(identity)), None)

    def steps(self, identity: str) -> list[Step]:
        """All whom it waits for: a task that waits for several (asyncio.gather) cannot go on before each of them."""
        if identity not in self._steps:
            made = (self._make_step(wait) for wait in self._every.get(identity, ()))
            found = [one for one in made if one is not None]
            carrier = self._find_carrier(identity) if not found else None
            self._steps[identity] = found or ([carrier] if carrier is not None else [])
        return self._steps[identity]

    def _make_step(self, wait: Edge) -> Step | None:
        """Into another process only from who slept while both were read: else it may wait no more, or for another."""
        step = self._lead_on(wait)
        if step is None or self._is_of_moment(step.holder, step.waiter.moment):
            return step
        thread = self.thread_of(step.waiter)
        if thread is None or thread.idle_s is None:
            return replace(step, alone=False)
        return step if self.slept_through(thread) else None

    def _is_of_moment(self, identity: str, moment: str) -> bool:
        actor = self.actors.by_id.get(identity)
        return actor is None or actor.moment == moment

    def slept_through(self, thread: Thread) -> bool:
        """Whether it slept all the while in which the processes were read, as far as is known."""
        return thread.idle_s is None or 1000 * thread.idle_s >= (self.report.window_ms or 0.0)

    def thread_of(self, actor: Actor) -> Thread | None:
        """In which alone it runs."""
        if isinstance(actor, Thread):
            return actor
        home = self._find_home(actor) or ""
        home = next((one.thread or "" for one in self.report.loops if one.id == home), home)
        found = self.actors.by_id.get(home)
        return found if isinstance(found, Thread) else None

    def _lead_on(self, wait: Edge) -> Step | None:
        waiter = self.actors.by_id[wait.origin]
        if wait.to in self.actors.by_id:
            return Step(waiter, wait.to, wait)
        main = self.actors.main_thread(wait.to) or self._find_tool(waiter, wait.to)
        if main is not None:
            if main.moment == waiter.moment:
                return None
            inner = self.past_hub(main)
            is_alone = self.actors.is_alone(main) and self._is_alone_in_hub(inner)
            return Step(waiter, inner.id, wait, alone=is_alone) if is_alone or self.is_python(waiter) else None
        holds = self.holds.get(wait.to, [])
        return Step(waiter, holds[0].origin, wait, holds[0]) if len(holds) == 1 else None

    def _find_tool(self, waiter: Actor, process: str) -> Thread | None:
        """The only thread of a program that is not Python. What that does matters where it waits for Python itself."""
        tool = self.actors.only_thread(process)
        return tool if tool is not None and (not self.is_python(waiter) or self._comes_back(tool)) else None

    def _comes_back(self, tool: Thread) -> bool:
        """Whether it waits for a Python process, if need be through others like it."""
        seen: set[str] = set()
        at: Thread | None = tool
        while at is not None and at.id not in seen and (wait := self.waits.get(at.id)) is not None:
            if self.actors.main_thread(wait.to) is not None:
                return True
            seen.add(at.id)
            at = self.actors.only_thread(wait.to)
        return False

    def is_python(self, actor: Actor) -> bool:
        """Whether its process was read as Python."""
        process = self.actors.process(actor.id)
        return process is not None and process.python is not None

    def past_hub(self, actor: Actor) -> Actor:
        """Of a thread whose hub polls, its main greenlet, where that waits: what the program does there."""
        if not any(one.thread == actor.id and one.state == "polling" for one in self.report.hubs):
            return actor
        mains = (one for one in self.report.greenlets if one.is_main and one.thread == actor.id and one.waits_for)
        return next(mains, actor)

    def _is_alone_in_hub(self, actor: Actor) -> bool:
        """Whether no other greenlet of its thread may do what it does not; true of what is none."""
        if not isinstance(actor, Greenlet):
            return True
        hubs = {one.greenlet for one in self.report.hubs}
        others = (one for one in self.report.greenlets if one.thread == actor.thread and one.state != "dead")
        return all(one.id in (actor.id, *hubs) for one in others)

    def _find_carrier(self, identity: str) -> Step | None:
        """From a greenlet or task to its thread, where that waits for something while its hub or loop cannot run."""
        actor = self.actors.by_id.get(identity)
        carrier = self._carriers.get(self._find_home(actor) or "")
        if actor is None or carrier is None:
            return None
        return Step(actor, carrier, Edge(origin=identity, to=carrier, kind="waits", certainty="certain"), carried=True)

    def _find_home(self, actor: Actor | None) -> str | None:
        """The thread, or event loop, in which alone it can run."""
        if isinstance(actor, Greenlet):
            return actor.thread if actor.state != "dead" else None
        return actor.loop if isinstance(actor, Task) else None

    @cached_property
    def _carriers(self) -> dict[str, str]:
        """The threads that wait elsewhere than in their hub, by their own ids; or in their loop, by that's.

        They run another greenlet than their hub, or code of somebody else in that; or a callback or task.
        """
        waiting = {one.id: one for one in self.report.threads if one.waits_for}
        polling = {one.greenlet for one in self.report.hubs if one.state != "callback"}
        hubs = {one.id: one.id for one in waiting.values() if one.greenlet and one.greenlet not in polling}
        loops = {one.id: one.thread for one in self.report.loops if one.thread in waiting}
        return hubs | {loop: thread for loop, thread in loops.items() if thread and is_in(waiting[thread], *CALLS)}

    def chain(self, identity: str) -> Chain:
        """From this actor to the one that waits for nobody, or round a cycle."""
        steps: list[Step] = []
        seen: dict[str, int] = {}
        while identity not in seen and (step := self.step(identity)) is not None:
            seen[identity] = len(steps)
            steps.append(step)
            identity = step.holder
        return Chain(tuple(steps), identity, tuple(steps[seen[identity] :]) if identity in seen else ())

    @cached_property
    def cycles(self) -> list[tuple[Step, ...]]:
        """Each once, and each actor in one at most: the first that a walk along all waits comes to."""
        return list(self._find_cycles())

    def _find_cycles(self) -> Iterator[tuple[Step, ...]]:
        done: set[str] = set()
        for first in self.actors.by_id:
            cycle = self._walk(first, done) if first not in done else ()
            if cycle:
                self.actors.tell_apart([step.waiter.id for step in cycle])
                yield cycle

    def _walk(self, first: str, done: set[str]) -> tuple[Step, ...]:
        """The first cycle that can be reached from an actor; where it leads has been seen then, and is `done`."""
        ways = {first: iter(self.steps(first))}  # the actors on the way, each with its waits that are to be followed
        trail: list[Step] = []
        while ways:
            step = next(ways[next(reversed(ways))], None)
            if step is None:
                done.add(ways.popitem()[0])
                del trail[-1:]
            elif step.holder in ways:
                done.update(ways)
                return (*trail[list(ways).index(step.holder) :], step)
            elif step.holder not in done:
                trail.append(step)
                ways[step.holder] = iter(self.steps(step.holder))
        return ()

    def waiting_for(self, identities: set[str]) -> list[Actor]:
        """The actors outside `identities` that wait, step by step, for one inside."""
        found: dict[str, Actor] = {}
        behind = list(identities)
        while behind:
            for waiter in self._waiters.get(behind.pop(), []):
                if waiter.id not in identities and waiter.id not in found:
                    found[waiter.id] = waiter
                    behind.append(waiter.id)
        return list(found.values())

    @cached_property
    def _waiters(self) -> dict[str, list[Actor]]:
        """By the actor whom they wait for."""
        waiters: dict[str, list[Actor]] = {}
        for identity in self.actors.by_id:
            for step in self.steps(identity):
                waiters.setdefault(step.holder, []).append(step.waiter)
        return waiters


_shared: ContextVar[WaitGraph | None] = ContextVar("the graph of the report that is judged", default=None)


@contextmanager
def shared_graph(report: Report) -> Iterator[WaitGraph]:
    """One graph for all who ask for that of this report inside the block, which nobody may change meanwhile."""
    token = _shared.set(WaitGraph(report))
    try:
        yield graph_of(report)
    finally:
        _shared.reset(token)


def graph_of(report: Report) -> WaitGraph:
    """The report's graph: the shared one, where there is one."""
    shared = _shared.get()
    return shared if shared is not None and shared.report is report else WaitGraph(report)


def describe_wait(graph: WaitGraph, step: Step) -> str:
    """`waits for lock db, held by evict`, `waits for the end of worker`, `waits for process 8 (write)`."""
    wait = step.waiter.waits_for
    if step.carried:
        return f"cannot run before {graph.actors.name(step.holder)} can"
    if step.hold is not None:
        target, holder = graph.actors.name(step.wait.to), graph.actors.name(step.holder)
        return f"waits for {target}, " + (f"held by {holder}" if is_lock(graph, step) else f"which {holder} works for")
    if wait is not None and wait.kind == "import_lock":
        return f"waits for {wait.detail}, held by {graph.actors.name(step.holder)}"
    if wait is not None and wait.kind == "io":
        return f"waits for {graph.actors.name(step.holder)}" + (f" ({wait.call})" if wait.call else "")
    return f"waits for the end of {graph.actors.name(step.wait.to)}"


def is_lock(graph: WaitGraph, step: Step) -> bool:
    """Whether the step leads over a lock that somebody has: not over a future, for which somebody works."""
    found = graph.actors.objects.get(step.wait.to)
    return step.hold is not None and (found is None or found.kind not in ("future", "event"))


def describe_steps(graph: WaitGraph, steps: Iterable[Step]) -> list[Evidence]:
    """A chain of steps: each one deeper than the one before."""
    return [one for depth, step in enumerate(steps) for one in describe_step(graph, step, depth)]


def describe_step(graph: WaitGraph, step: Step, depth: int = 0) -> list[Evidence]:
    """Where the waiter stands, and, one deeper, by which line the holder took it."""
    name, wait = graph.actors.name(step.waiter.id), step.waiter.waits_for
    if step.hold is None:
        said = wait.detail if wait is not None and wait.kind in ("io", "process") else None
        return [stand(step.waiter, f"{name} {said or describe_wait(graph, step)}", depth=depth)]
    target = graph.actors.objects.get(step.wait.to)
    address = target.address if target else None
    waits = stand(step.waiter, f"{name} waits for {graph.actors.name(step.wait.to)}", address, depth)
    taken = step.hold.at or Frame(kind="python")
    who = "the same" if step.holder == step.waiter.id else graph.actors.name(step.holder)
    verb = "holds it" if is_lock(graph, step) else "works for it"
    text = f"{who} {verb} ({step.hold.certainty})"
    return [waits, Evidence(text=text, file=taken.file, line=taken.line, value=step.hold.evidence, depth=depth + 1)]
