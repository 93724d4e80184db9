"""Where the waiting ends: whom each program's main thread waits for, step by step, and what that one waits for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.diagnose.actors import Actor, stand
from lastwords.diagnose.exits import describe_activity, is_leaving
from lastwords.diagnose.wait_graph import CERTAINTIES, Chain, WaitGraph, describe_steps, graph_of
from lastwords.model import Certainty, Evidence, Finding, Report, Subject, Thread, WaitsFor

LONG = 1.0  # seconds without running: what is over sooner holds nobody up


class End(msgspec.Struct, frozen=True):
    """The main thread of a program, the way from there, and the actor at its end, which waits for nobody here."""

    main: Thread
    chain: Chain
    actor: Actor
    wait: WaitsFor
    graph: WaitGraph

    @property
    def process(self) -> str | None:
        """The id of the process in which the waiting ends."""
        found = self.graph.actors.process(self.actor.id)
        return found.id if found else None

    @property
    def title(self) -> str:
        """`MainThread receives from fd 4 ...`; through whom, where the main thread waits for another."""
        name = self.graph.actors.name
        through = f", and {name(self.main.id)} waits for it" if self.actor is not self.main else ""
        return f"{name(self.actor.id)} {describe_activity(self.actor)}{through}"

    @property
    def certainty(self) -> Certainty:
        """As certain as the least certain wait on the way; a wait that ends by itself is at most likely to matter."""
        known = [*(step.certainty for step in self.chain.steps), self.wait.certainty]
        if self.wait.has_timeout:
            known.append("likely")
        return CERTAINTIES[max(map(CERTAINTIES.index, known))]

    @property
    def subjects(self) -> list[Subject]:
        """The one that waits at the end, and the main thread."""
        return [self.graph.actors.subject(one) for one in dict.fromkeys((self.actor.id, self.main.id))]

    @property
    def evidence(self) -> list[Evidence]:
        """The steps, the last wait, and for how long."""
        steps, depth = describe_steps(self.graph, self.chain.steps), len(self.chain.steps)
        text = f"{self.graph.actors.name(self.actor.id)} {describe_activity(self.actor)}"
        return [*steps, stand(self.actor, text, depth=depth), *_describe_sleep(self.actor, depth)]


def find_ends(report: Report) -> Iterator[End]:
    """That of each process that no other of the report has made, and that is not on its way out; after a while."""
    graph = graph_of(report)
    leaving = {moment.process for moment in report.moments if is_leaving(moment)}
    children = {edge.origin for edge in report.edges if edge.kind == "parent"}
    for process in report.processes:
        main = graph.actors.main_thread(process.id) if process.id not in children | leaving else None
        chain = _until_halt(graph, graph.chain(main.id)) if main else None
        end = graph.actors.by_id.get(chain.end) if chain and not chain.cycle else None
        if main and chain and end and end.waits_for and graph.judges(end) and _is_long(end):
            yield End(main, chain, end, end.waits_for, graph)


def _until_halt(graph: WaitGraph, chain: Chain) -> Chain:
    """Without what a process waits for that nobody lets run: for that process the one before waits."""
    steps = list(chain.steps)
    while steps and not chain.cycle:
        holder = graph.actors.by_id.get(steps[-1].holder)
        if holder is None or not graph.is_halted(holder):
            break
        if graph.is_halted(steps[-1].waiter):
            return chain
        steps.pop()
    return Chain(tuple(steps), chain.steps[len(steps)].waiter.id) if len(steps) < len(chain.steps) else chain


def _is_long(actor: Actor) -> bool:
    """Of greenlets and tasks nobody keeps that account."""
    return (actor.idle_s or 0.0) >= LONG if isinstance(actor, Thread) else True


def _describe_sleep(actor: Actor, depth: int) -> Iterator[Evidence]:
    if isinstance(actor, Thread) and actor.idle_s is not None:
        yield Evidence(text="it has not run for", value=f"{actor.idle_s:.1f} s", depth=depth)


def make_finding(end: End, code: str, explanation: str, fix: str) -> Finding:
    """What holds a program up, told from its main thread on."""
    return Finding(
        code=code,
        title=end.title,
        certainty=end.certainty,
        process=end.process,
        subjects=end.subjects,
        evidence=end.evidence,
        explanation=explanation,
        fix=fix,
    )
