"""`hub-starved`: a greenlet computes without giving way, so that its thread's hub and all other greenlets wait."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import stand
from lastwords.diagnose.hubs import name_greenlet
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Certainty, Evidence, Finding, Greenlet, Hub, Report, Thread

CODE = "hub-starved"
LONG = 1.0  # seconds without a turn of the loop: what is over sooner starves nobody
WAITING = ("callbacks", "timers", "watchers")

EXPLANATION = (
    "Greenlets take turns: each runs until it waits by way of gevent. This one computes and has not given way, so that "
    "neither timers nor sockets nor other greenlets of the thread had their turn meanwhile."
)
FIX = (
    "Give way in long loops by gevent.sleep(0), or hand what computes to gevent.get_hub().threadpool.apply(...) or to "
    "another process."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each thread that runs another greenlet than its hub, whose loop has not turned for long."""
    graph = graph_of(report)
    for hub in report.hubs:
        thread, running = _find_runner(graph, hub)
        if thread is not None and running is not None:
            yield _make_finding(graph, hub, thread, running)


def _find_runner(graph: WaitGraph, hub: Hub) -> tuple[Thread | None, Greenlet | None]:
    """Who computes, and in which thread; (None, None) where nobody does, or nobody else waits."""
    thread = graph.actors.by_id.get(hub.thread or "")
    running = graph.actors.by_id.get(thread.greenlet or "") if isinstance(thread, Thread) else None
    if not isinstance(thread, Thread) or not isinstance(running, Greenlet) or running.id == hub.greenlet:
        return None, None
    is_busy = thread.waits_for is None and graph.judges(thread) and hub.state == "switched out"
    if thread.consistent is False or graph.is_halted(thread) or _turned(graph.report, thread):
        return None, None
    is_long = hub.since_s is not None and hub.since_s >= LONG
    return (thread, running) if is_busy and is_long and _count(hub) else (None, None)


def _turned(report: Report, thread: Thread) -> bool:
    """Whether the hub has run in one of the looks at a thread that runs."""
    stacks = (one.stack for one in report.samples if one.thread == thread.id)
    return any(frame.module == "gevent.hub" and frame.function == "run" for stack in stacks for frame in stack[-1:])


def _count(hub: Hub) -> int:
    return sum(hub.counts.get(name, 0) for name in WAITING)


def _make_finding(graph: WaitGraph, hub: Hub, thread: Thread, running: Greenlet) -> Finding:
    process = graph.actors.process(thread.id)
    at = stand(thread, f"{name_greenlet(running)} runs")
    certainty: Certainty = "certain" if thread.state == "running" and thread.consistent is not False else "likely"
    waiting = ", ".join(f"{hub.counts[name]} {name}" for name in WAITING if hub.counts.get(name))
    where = f" at {at.file}:{at.line}" if at.file else ""
    return Finding(
        code=CODE,
        title=f"{name_greenlet(running)} computes{where}, and the hub has had no turn for {hub.since_s or 0:.1f} s",
        certainty=certainty,
        process=process.id if process else None,
        subjects=[graph.actors.subject(running.id), graph.actors.subject(thread.id)],
        evidence=[
            at,
            Evidence(text="the hub's loop last looked at its clock", value=f"{hub.since_s or 0:.1f} s ago"),
            Evidence(text="wait for a turn of the loop", value=waiting),
        ],
        explanation=EXPLANATION,
        fix=FIX,
    )
