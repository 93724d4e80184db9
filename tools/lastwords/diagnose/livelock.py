"""`livelock`: a thread tries again and again for a lock, and whoever could free it waits for that thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lastwords.diagnose.actors import is_library, stand
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
    looks = Counter(sample.thread for sample in report.samples)
    threads: dict[str, list[Thread]] = {}
    for one in report.threads:
        threads.setdefault(one.moment, []).append(one)
    for edge in report.edges:
        thread, lock = graph.actors.by_id.get(edge.origin), graph.actors.objects.get(edge.to)
        if edge.kind == "references" and isinstance(thread, Thread) and lock is not None and lock.kind != "pool":
            is_tried = looks[thread.id] >= LOOKS and _is_in_vain(graph, thread, lock) and not _is_librarys(edge)
            if is_tried and _all_wait(graph, threads[thread.moment], thread):
                others = [one for one in threads[thread.moment] if one is not thread]
                yield _make_finding(graph, edge, thread, lock, others)


def _is_in_vain(graph: WaitGraph, thread: Thread, lock: Object) -> bool:
    holds = graph.holds.get(lock.id, [])  # what is only likely: that its acquire() has succeeded
    is_own = any(hold.origin == thread.id and hold.certainty == "certain" for hold in holds)
    return lock.locked is True and thread.waits_for is None and not is_own


def _is_librarys(edge: Edge) -> bool:
    """Whether no code of the program tries, but the library's: a Condition waits for a time so, too."""
    return edge.at is not None and is_library(edge.at)


def _all_wait(graph: WaitGraph, threads: list[Thread], thread: Thread) -> bool:
    """Whether there are others than this thread, and each waits for it, step by step."""
    behind = {one.id for one in graph.waiting_for({thread.id})}
    return len(threads) > 1 and behind.issuperset(one.id for one in threads if one is not thread)


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
