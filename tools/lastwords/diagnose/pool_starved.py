"""`pool-starved`: all workers of a pool wait for work that needs a worker of the same pool."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.diagnose.actors import stand
from lastwords.diagnose.wait_graph import CERTAINTIES, Chain, Step, WaitGraph, describe_steps, describe_wait, graph_of
from lastwords.model import Certainty, Edge, Evidence, Finding, Object, Report

CODE = "pool-starved"
FEW = 4

EXPLANATION = (
    "Each worker of the pool is in the middle of a piece of work and waits for the result of another, which is still "
    "in the queue of the same pool. Nobody is left to take it from there."
)
FIX = (
    "Do not wait inside a pool for work of the same pool: give what is waited for a pool of its own, call it directly, "
    "or hand on futures instead of results. More workers only move the limit."
)
THROUGH = (
    "Each worker of the pool waits, itself or behind others, for the result of work that is still in the queue of the "
    "same pool. Nobody is left to take it from there."
)
THROUGH_FIX = (
    "Do not wait for a pool's results with a lock in hand that its workers need, and not inside the pool itself. More "
    "workers only move the limit."
)


class Pool(msgspec.Struct, frozen=True):
    """A pool; what each worker waits for, step by step; `queued`: what refers to the work in its queue, by target."""

    found: Object
    chains: list[Chain]
    queued: dict[str, Edge]
    graph: WaitGraph

    @property
    def workers(self) -> list[str]:
        """Their ids."""
        return [chain.steps[0].waiter.id if chain.steps else chain.end for chain in self.chains]

    @property
    def is_starved(self) -> bool:
        """Whether each worker waits, in the end, for what is in the queue."""
        waits = [self.graph.waits.get(chain.end) for chain in self.chains if not chain.cycle]
        return len(waits) == len(self.chains) and all(wait and wait.to in self.queued for wait in waits)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each pool without a worker that could go on."""
    whole = {one.id for one in report.moments if one.capture.complete}
    for pool in _find_pools(report):
        if pool.is_starved:
            yield _make_finding(pool, is_whole=pool.found.moment in whole)


def _find_pools(report: Report) -> Iterator[Pool]:
    graph = graph_of(report)
    workers: dict[str, list[str]] = {}
    queued: dict[str, dict[str, Edge]] = {}
    for edge in report.edges:
        if edge.kind == "references":
            workers.setdefault(edge.to, []).append(edge.origin)
            queued.setdefault(edge.origin, {})[edge.to] = edge
    for found in report.objects:
        if found.kind == "pool" and found.id in workers and found.id in queued:
            yield Pool(found, [graph.chain(worker) for worker in workers[found.id]], queued[found.id], graph)


def _make_finding(pool: Pool, *, is_whole: bool) -> Finding:
    graph, workers = pool.graph, pool.workers
    process = graph.actors.process(pool.found.id)
    through = [step for chain in pool.chains for step in chain.steps]
    return Finding(
        code=CODE,
        title=_describe_all(pool, through),
        certainty=_certainty(pool) if is_whole else "likely",
        process=process.id if process else None,
        subjects=[graph.actors.subject(worker) for worker in workers[:FEW]],
        evidence=[
            *(one for chain in pool.chains[:FEW] for one in _describe(graph, chain)),
            Evidence(text="futures in the queue", value=str(pool.found.count), address=pool.found.address),
            *_describe_others(graph, workers),
        ],
        explanation=THROUGH if through else EXPLANATION,
        fix=THROUGH_FIX if through else FIX,
    )


def _describe_all(pool: Pool, through: list[Step]) -> str:
    """`all 4 workers of a ThreadPoolExecutor wait for work that is still in its queue`."""
    if len(pool.workers) > 1:
        return f"all {len(pool.workers)} workers of a {pool.found.type} wait for work that is still in its queue"
    steps = "".join(f"{describe_wait(pool.graph, step)}, which " for step in through)
    who = pool.graph.actors.name(pool.workers[0])
    return f"the only worker, {who}, of a {pool.found.type} {steps}waits for work that is still in its queue"


def _certainty(pool: Pool) -> Certainty:
    known: list[Certainty] = [step.certainty for chain in pool.chains for step in chain.steps]
    for chain in pool.chains:
        wait = pool.graph.waits[chain.end]
        known += [wait.certainty, pool.queued[wait.to].certainty]
        if getattr(pool.graph.actors.by_id[chain.end], "consistent", None) is False:
            known.append("likely")
    return CERTAINTIES[max(map(CERTAINTIES.index, known))]


def _describe(graph: WaitGraph, chain: Chain) -> Iterator[Evidence]:
    yield from describe_steps(graph, chain.steps)
    target = graph.waits[chain.end].to
    found = graph.actors.objects.get(target)
    text = f"{graph.actors.name(chain.end)} waits for {graph.actors.name(target)}, which is in the queue"
    yield stand(graph.actors.by_id[chain.end], text, found.address if found else None, len(chain.steps))


def _describe_others(graph: WaitGraph, workers: list[str]) -> Iterator[Evidence]:
    for one in graph.waiting_for(set(workers))[:FEW]:
        yield stand(one, f"{graph.actors.name(one.id)} waits behind them")
