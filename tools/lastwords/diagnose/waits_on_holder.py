"""`waits-on-holder`: no deadlock, but whoever holds the lock is itself waiting, for something else."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import Actor, is_in, stand
from lastwords.diagnose.orphaned_lock import find_orphans
from lastwords.diagnose.wait_graph import CERTAINTIES, Chain, Step, WaitGraph, describe_steps, graph_of, is_lock
from lastwords.model import Certainty, Finding, Greenlet, Report, Task, Thread, WaitsFor

CODE = "waits-on-holder"
GETS = ("multiprocessing.queues", "get")
LONG = 1.0  # seconds that both must have slept: a lock that is about to change hands is none of our business

EXPLANATION = (
    "Nobody is deadlocked: the lock will be given back when its holder goes on. But the holder waits itself, with the "
    "lock in its hands, and so everybody who needs the lock waits for that, too."
)
FIX = (
    "Do not wait (for the network, a child, a queue, a sleep) while holding a lock: take it only around what it guards."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each holder that waits while others wait for it, step by step: a main thread where it is one."""
    graph = graph_of(report)
    orphans = {one.lock.id for one in find_orphans(graph)}
    for end in graph.actors.by_id.values():
        wait = end.waits_for
        if wait is None or wait.kind == "gil" or graph.step(end.id) is not None or not _is_long(graph, end):
            continue
        if wait.target in orphans:
            continue
        behind = sorted(graph.waiting_for({end.id}), key=_rank)
        if not behind or (isinstance(end, Task) and not isinstance(behind[0], Thread)):  # tasks do so, awaiting
            continue
        chain = graph.chain(behind[0].id)
        locks = [step for step in chain.steps if is_lock(graph, step)]
        if locks and _is_long(graph, behind[0]) and not _is_a_queues(locks, end):
            yield _make_finding(graph, chain, end, wait)


def _is_a_queues(locks: list[Step], end: Actor) -> bool:
    """Whether all wait for their turn to get from a queue of processes, and `end` has it: so its workers idle."""
    return all(is_in(one, *GETS) for one in (end, *(step.waiter for step in locks)))


def _rank(actor: Actor) -> tuple[bool, bool]:
    """The main thread first, then the others, then whoever is none."""
    return not getattr(actor, "is_main", False), not isinstance(actor, Thread)


def _is_long(graph: WaitGraph, actor: Actor) -> bool:
    """Whether it has slept for long, a task as its loop's thread; of greenlets nobody keeps that account."""
    if isinstance(actor, Greenlet):
        return True
    thread = graph.thread_of(actor)
    return thread is not None and (thread.idle_s or 0.0) >= LONG


def _make_finding(graph: WaitGraph, chain: Chain, end: Actor, wait: WaitsFor) -> Finding:
    name, first = graph.actors.name, chain.steps[0].waiter
    lock = next(step for step in reversed(chain.steps) if is_lock(graph, step))
    process = graph.actors.process(end.id)
    what = wait.detail or wait.kind.replace("_", " ")
    through = f"which waits for {name(end.id)}, which" if lock.holder != end.id else "which"
    behind = f"; {name(first.id)} waits behind it" if first is not lock.waiter else ""
    about = dict.fromkeys((end.id, first.id, lock.wait.to, lock.waiter.id, lock.holder))
    return Finding(
        code=CODE,
        title=f"{name(lock.waiter.id)} waits for {name(lock.wait.to)}, held by {name(lock.holder)}, {through} itself "
        f"waits: {what}{behind}",
        certainty=_certainty(chain, wait),
        process=process.id if process else None,
        subjects=[graph.actors.subject(one) for one in about],
        evidence=[
            *describe_steps(graph, chain.steps),
            stand(end, f"{name(end.id)} itself waits: {what}", depth=len(chain.steps)),
        ],
        explanation=EXPLANATION,
        fix=FIX,
    )


def _certainty(chain: Chain, wait: WaitsFor) -> Certainty:
    certainties = [step.certainty for step in chain.steps] + [wait.certainty]
    return CERTAINTIES[max(CERTAINTIES.index(one) for one in certainties)]
