"""The report's pools of threads: their workers, what these work on, and the work that waits for one of them."""

from __future__ import annotations

from collections.abc import Sequence

from lastwords.cpython import Interpreter
from lastwords.cpython.pools import Pool, read_events, read_pools
from lastwords.cpython.threads import PythonThread
from lastwords.examine.entities import Entities, tolerated
from lastwords.model import Certainty, Edge, Object


def add_pools(entities: Entities, interp: Interpreter, threads: Sequence[PythonThread]) -> None:
    """A pool is an object that its workers refer to, and that refers to the futures in its queue.

    Of the futures only those that somebody waits for: a worker holds the one that it works for.
    """
    with tolerated(entities.moment, "pools of threads"):
        for pool in read_pools(interp, threads):
            _add_pool(entities, interp, pool)


def _add_pool(entities: Entities, interp: Interpreter, pool: Pool) -> None:
    identity = f"{entities.moment.id}-pool-{pool.queue:x}"
    entities.report.objects.append(
        Object(
            id=identity,
            moment=entities.moment.id,
            kind="pool",
            type="ThreadPoolExecutor",
            address=pool.queue,
            count=len(pool.waiting),
        )
    )
    for worker in pool.workers:
        thread = entities.state_id(worker.thread)
        said = "it is a worker of the pool"
        entities.add_edge(Edge(origin=thread, to=identity, kind="references", certainty="certain", evidence=said))
        for target, certainty in _find_awaited(entities, interp, worker.future):
            said = "it works for this future"
            entities.add_edge(Edge(origin=thread, to=target, kind="holds", certainty=certainty, evidence=said))
    for future in pool.waiting:
        for target, certainty in _find_awaited(entities, interp, future):
            edge = Edge(origin=identity, to=target, kind="references", certainty=certainty, evidence="in its queue")
            edge.complete = pool.complete
            entities.add_edge(edge)


def _find_awaited(entities: Entities, interp: Interpreter, future: int | None) -> list[tuple[str, Certainty]]:
    """What somebody waits for until the future is done: itself, or the event of a `wait()` for it."""
    if not future:
        return []
    events = read_events(interp, future)
    found: list[tuple[str | None, Certainty]] = [(entities.find_object(future), "certain")]
    found += [(entities.find_object(event), "certain" if is_needed else "likely") for event, is_needed in events]
    return [(target, certainty) for target, certainty in found if target]
