"""Threads whose gevent hub cannot run, because one of its greenlets waits in a call that does not give way to it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.diagnose.actors import actor_name, own_line, stand
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.wait_graph import WaitGraph, describe_steps, graph_of
from lastwords.frames import is_patchers
from lastwords.model import Certainty, Evidence, Greenlet, Hub, Report, Subject, Thread, WaitsFor

LONG = 0.1  # seconds: what is over sooner is nobody's hang
POOL = ("gevent.threadpool", "gevent._threading")  # its threads are there to wait natively
FEW = 3


class Blocked(msgspec.Struct, frozen=True):
    """A thread that waits in the kernel while its hub should run.

    running: the greenlet that waits, or the hub itself, in a callback; others: the greenlets that cannot go on
    """

    thread: Thread
    wait: WaitsFor
    hub: Hub
    running: Greenlet
    others: tuple[Greenlet, ...]
    graph: WaitGraph

    @property
    def certainty(self) -> Certainty:
        """Of the wait; certain only of a thread that stood still."""
        return self.wait.certainty if self.thread.consistent is not False else "likely"

    @property
    def process(self) -> str | None:
        """The id of its process."""
        found = self.graph.actors.process(self.thread.id)
        return found.id if found else None

    @property
    def name(self) -> str:
        """`greenlet poll of MainThread`, `a callback in the hub of MainThread`."""
        thread = self.graph.actors.name(self.thread.id)
        if self.running.id == self.hub.greenlet:
            return f"a callback in the hub of {thread}"
        return (
            f"the main greenlet of {thread}" if self.running.is_main else f"{name_greenlet(self.running)} of {thread}"
        )

    @property
    def title(self) -> str:
        """Who waits, where, and for what."""
        at = own_line(self.thread)
        where = f" at {at.file}:{at.line}" if at and at.file else ""
        return f"{self.name} {describe_activity(self.thread)}{where}, without giving way to the hub"

    @property
    def subjects(self) -> list[Subject]:
        """The thread, by the line of the program in which it waits."""
        return [self.graph.actors.subject(self.thread.id)]

    @property
    def evidence(self) -> list[Evidence]:
        """Where it waits, for how long, and who cannot go on."""
        count = len(self.others)
        more = f", {name_greenlet(self.others[0])} first of them" if count > 1 else ""
        return [
            stand(self.thread, f"{actor_name(self.thread)} {describe_activity(self.thread)}"),
            *self._describe_chain(),
            Evidence(text="it runs this greenlet, not its hub", address=self.running.address, value=self.wait.call),
            Evidence(text="the thread has not run for", value=f"{self.thread.idle_s or 0.0:.1f} s"),
            Evidence(text=f"greenlets of the thread that cannot go on meanwhile{more}", value=str(count)),
            *(stand(one, f"{name_greenlet(one)} cannot go on") for one in self.others[:FEW]),
        ]

    def _describe_chain(self) -> Iterator[Evidence]:
        """Who has what it waits for, and what that one waits for in turn."""
        chain = self.graph.chain(self.thread.id)
        yield from describe_steps(self.graph, chain.steps)
        end = self.graph.actors.by_id.get(chain.end) if chain.steps and not chain.cycle else None
        if end is not None and end.waits_for is not None:
            yield stand(end, f"{self.graph.actors.name(end.id)} {describe_activity(end)}", depth=len(chain.steps))


def name_greenlet(greenlet: Greenlet) -> str:
    """`greenlet Greenlet-3`; by the function that it runs, or its address, where it has no name."""
    if greenlet.is_main:
        return "the main greenlet"
    name = greenlet.name or (greenlet.run.function if greenlet.run else None)
    return f"greenlet {name}" if name else f"a greenlet at {greenlet.address or 0:#x}"


def find_blocked(report: Report) -> Iterator[Blocked]:
    """Threads with a hub that wait outside its loop while other greenlets of theirs are alive."""
    graph = graph_of(report)
    hubs = {hub.thread: hub for hub in report.hubs if hub.thread}
    for thread in report.threads:
        hub, running = hubs.get(thread.id), graph.actors.by_id.get(thread.greenlet or "")
        wait = thread.waits_for
        if hub is None or wait is None or not isinstance(running, Greenlet) or not graph.judges(thread):
            continue
        others = tuple(_find_others(report, hub, running))
        if others and _is_native(thread, wait) and (running.id != hub.greenlet or _is_in_callback(thread)):
            yield Blocked(thread, wait, hub, running, others, graph)


def _is_native(thread: Thread, wait: WaitsFor) -> bool:
    """Whether it is in the kernel for long, by no way of gevent's own."""
    is_pool = any(frame.module in POOL for frame in thread.stack)
    return wait.kind != "gil" and (thread.idle_s or 0.0) >= LONG and not is_pool


def _is_in_callback(thread: Thread) -> bool:
    """Whether the hub runs code of somebody else: in its loop there are none but gevent's frames."""
    return any(frame.kind == "python" and not is_patchers(frame) for frame in thread.stack)


def _find_others(report: Report, hub: Hub, running: Greenlet) -> Iterator[Greenlet]:
    """Those of its thread that could go on if it did; not one that has switched to it, past the hub."""
    past = running.parent if running.id != hub.greenlet else None
    for one in report.greenlets:
        is_alive = one.thread == hub.thread and one.state in ("suspended", "unstarted")
        if is_alive and one.id not in (hub.greenlet, running.id, past):
            yield one
