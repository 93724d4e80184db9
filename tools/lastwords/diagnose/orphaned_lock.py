"""`orphaned-lock` and `fork-held-lock`: somebody waits for a lock that nobody who is left could give back."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.diagnose.actors import stand
from lastwords.diagnose.cycles import describe_others
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Certainty, Edge, Evidence, Finding, Object, Process, Report

CODE = "orphaned-lock"
FORK_CODE = "fork-held-lock"
LOCKS = ("lock", "rlock", "process_lock")
LONG = 1.0  # seconds: a lock that changes hands is not waited for as long by a thread that sleeps all the while

EXPLANATION = (
    "The lock is taken, and whoever took it has ended, or was killed, without giving it back. Nobody else does that."
)
FORK_EXPLANATION = (
    "The process was forked while another thread held the lock. The child has a copy of the lock, taken, and only "
    "the thread that forked: the one that would give it back exists in the parent alone."
)
SINCE = " Or a thread that the child has begun since has ended with the lock in its hands."
FIX = "Take locks with `with`, so that an exception gives them back; and end threads and processes by asking them to."
FORK_FIX = (
    "Start children before threads, or by multiprocessing's spawn or forkserver; or execute another program right "
    "after the fork (subprocess). Where it must fork, os.register_at_fork() can hold the lock over the fork and free "
    "it in both."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each orphaned lock of a process that was not forked."""
    return _find(report, forked=False)


def diagnose_forked(report: Report) -> Iterator[Finding]:
    """One finding for each lock that a fork left behind."""
    return _find(report, forked=True)


class Orphan(msgspec.Struct, frozen=True):
    """A lock that nobody gives back, and the waits for it."""

    lock: Object
    process: Process
    edges: list[Edge]
    certainty: Certainty


def _find(report: Report, *, forked: bool) -> Iterator[Finding]:
    graph = graph_of(report)
    for one in find_orphans(graph):
        if bool(one.process.forked) is forked:
            yield _make_finding(graph, one)


def find_orphans(graph: WaitGraph) -> Iterator[Orphan]:
    """The locks that are taken, and waited for, and that nobody who is left could give back."""
    complete = _find_complete(graph.report)
    unknown = {one.moment for one in graph.report.threads if one.may_hold is not None}
    unknown |= {one.moment for one in graph.report.tasks if one.may_hold is not None}
    waits: dict[str, list[Edge]] = {}
    for edge in graph.waits.values():
        if edge.to in graph.actors.objects and edge.to not in graph.holds:
            waits.setdefault(edge.to, []).append(edge)
    for target, edges in waits.items():
        lock, process = graph.actors.objects.get(target), graph.actors.process(target)
        if lock is None or process is None or (not lock.owner_ident and lock.moment in unknown):
            continue
        certainty = _judge(graph, lock, edges, is_complete=lock.moment in complete)
        if certainty:
            yield Orphan(lock, process, edges, certainty)


def _judge(graph: WaitGraph, lock: Object, edges: list[Edge], *, is_complete: bool) -> Certainty | None:
    """Certain where the lock names an owner that no longer exists; likely where no frame of any thread has it."""
    if lock.kind not in LOCKS or lock.locked is not True or not _is_all_seen(graph, lock):
        return None
    is_sure = all(edge.certainty == "certain" for edge in edges)
    if lock.owner_ident and lock.owner is None:
        return "certain" if is_sure and is_complete else "likely"
    if lock.owner is not None or not is_sure:
        return None
    longest = max((getattr(graph.actors.by_id[edge.origin], "idle_s", None) or 0.0 for edge in edges), default=0.0)
    return "likely" if longest >= LONG and is_complete else None


def _is_all_seen(graph: WaitGraph, lock: Object) -> bool:
    """Whether each process that could hold the lock is in the report: those of multiprocessing have several."""
    if lock.kind != "process_lock":
        return True
    read = {process.pid for process in graph.report.processes if graph.actors.main_thread(process.id)}
    return lock.sharers is not None and read.issuperset(lock.sharers)


def _find_complete(report: Report) -> set[str]:
    """The moments of which all was read, and stood still, and no suspended greenlet may have a lock."""
    torn = {one.moment for one in report.threads if one.error is not None or one.consistent is False}
    torn |= {one.moment for one in report.tasks if one.error is not None}
    hidden = {one.moment for one in report.greenlets if one.state == "suspended"}
    return {one.id for one in report.moments if one.capture.complete} - torn - hidden


def _make_finding(graph: WaitGraph, one: Orphan) -> Finding:
    lock, process, edges = one.lock, one.process, one.edges
    name, waiters = graph.actors.name(lock.id), [graph.actors.name(edge.origin) for edge in edges]
    left = "its holder was left behind by a fork" if process.forked else "nobody who is left holds it"
    has_doubt = bool(process.forked) and not lock.owner_ident and _has_had_threads(graph.report, lock)
    return Finding(
        code=FORK_CODE if process.forked else CODE,
        title=f"{waiters[0]} waits for {name}, which is taken, and {left}{', or has ended since' if has_doubt else ''}",
        certainty=one.certainty,
        process=process.id,
        subjects=[graph.actors.subject(one) for one in (edges[0].origin, lock.id)],
        evidence=[
            *_describe_waits(graph, lock, edges),
            *_describe_owner(lock),
            *_describe_fork(process),
            *describe_others(graph, {edge.origin for edge in edges}),
        ],
        explanation=(FORK_EXPLANATION if process.forked else EXPLANATION) + (SINCE if has_doubt else ""),
        fix=FORK_FIX if process.forked else FIX,
    )


def _has_had_threads(report: Report, lock: Object) -> bool:
    """Whether the process has, or had, more threads than the one that a fork leaves."""
    here = [one for one in report.threads if one.moment == lock.moment and one.alive is not False]
    return len(here) > 1 or any(one.ended for one in report.threading if one.moment == lock.moment)


def _describe_waits(graph: WaitGraph, lock: Object, edges: list[Edge]) -> Iterator[Evidence]:
    for edge in edges[:4]:
        yield stand(graph.actors.by_id[edge.origin], f"{graph.actors.name(edge.origin)} waits for it", lock.address)


def _describe_owner(lock: Object) -> Iterator[Evidence]:
    if lock.owner_ident:
        text = "it names as its owner an ident that no thread of the process has"
        yield Evidence(text=text, value=hex(lock.owner_ident))
    else:
        yield Evidence(text="it is taken, and no frame of any thread is inside it", address=lock.address)


def _describe_fork(process: Process) -> Iterator[Evidence]:
    if process.forked:
        text = f"process {process.pid} was forked and has executed no other program since (PF_FORKNOEXEC)"
        yield Evidence(text=text, value=f"parent {process.ppid}")
