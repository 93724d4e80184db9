"""`livelock`: a thread tries again and again for a lock, and whoever could free it waits for that thread."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import stand
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Edge, Evidence, Finding, Object, Report, Thread

CODE = "livelock"
LOOKS = 3  # samples of the thread, at least
FEW = 4

EXPLANATION = (
    "The thread runs, but gets nowhere: it tries for a lock that stays taken, and tries again. All other threads of "
    "the process wait for it, so nobody is left who would give the lock back."
)
FIX = (
    "Wait for the lock (acquire() without a try) so that the deadlock shows, and then take the locks in one order; or "
    "let the one that holds it give it back before it waits. Limit the number of tries."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each thread that was seen to try in vain while all others wait for it."""
    graph = graph_of(report)
    for edge in report.edges:
        thread, lock = graph.actors.by_id.get(edge.origin), graph.actors.objects.get(edge.to)
        if edge.kind == "references" and isinstance(thread, Thread) and lock is not None and lock.kind != "pool":
            others = _find_others(report, thread)
            if others and _tries_in_vain(report, graph, thread, lock) and _all_wait(graph, others, thread):
                yield _make_finding(graph, edge, thread, lock, others)


def _find_others(report: Report, thread: Thread) -> list[Thread]:
    return [one for one in report.threads if one.moment == thread.moment and one is not thread]


def _tries_in_vain(report: Report, graph: WaitGraph, thread: Thread, lock: Object) -> bool:
    looks = sum(sample.thread == thread.id for sample in report.samples)
    holds = graph.holds.get(lock.id, [])  # what is only likely: that its acquire() has succeeded
    is_own = any(hold.origin == thread.id and hold.certainty == "certain" for hold in holds)
    return lock.locked is True and looks >= LOOKS and thread.waits_for is None and not is_own


def _all_wait(graph: WaitGraph, others: list[Thread], thread: Thread) -> bool:
    return all(graph.chain(one.id).end == thread.id for one in others)


def _make_finding(graph: WaitGraph, edge: Edge, thread: Thread, lock: Object, others: list[Thread]) -> Finding:
    name, process = graph.actors.name, graph.actors.process(thread.id)
    at = edge.at
    where = f" at {at.file}:{at.line}" if at is not None and at.file else ""
    return Finding(
        code=CODE,
        title=f"{name(thread.id)} tries for {name(lock.id)} again and again{where}, which nobody will give back",
        certainty="likely",
        process=process.id if process else None,
        subjects=[graph.actors.subject(one) for one in (thread.id, lock.id)],
        evidence=[
            Evidence(
                text=f"{name(thread.id)} {edge.evidence}",
                file=at.file if at else None,
                line=at.line if at else None,
                address=lock.address,
            ),
            *(stand(one, f"{name(one.id)} waits for it, directly or not") for one in others[:FEW]),
        ],
        explanation=EXPLANATION,
        fix=FIX,
    )
