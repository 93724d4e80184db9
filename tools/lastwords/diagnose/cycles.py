"""What findings about a cycle of waits have in common, whether it is of threads, tasks or processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lastwords.diagnose.wait_graph import CERTAINTIES, Step, WaitGraph, describe_steps
from lastwords.model import Certainty, Evidence, Finding, Subject

FEW = 4

ANSWER_FIX = (
    "Each of these processes waits for another to write first, to read, or to end. Let one begin. Close the pipe to a "
    "child as soon as it has got everything, and read what it says while it runs: communicate() does both. Let each "
    "close the ends that it only inherited, so that a read ends when the other side is gone."
)


def judge_cycle(cycle: Sequence[Step]) -> Certainty:
    """As certain as the least certain of its steps."""
    return CERTAINTIES[max(CERTAINTIES.index(step.certainty) for step in cycle)]


def add_cycle(graph: WaitGraph, finding: Finding, cycle: Sequence[Step], most: int | None = None) -> Finding:
    """The finding with whom it is about, and why; of the steps the first `most` are shown."""
    process = graph.actors.process(cycle[0].waiter.id)
    shown = cycle[:most]
    finding.process = process.id if process else None
    finding.subjects = list(_find_subjects(graph, shown))
    finding.evidence = describe_steps(graph, shown) + describe_others(graph, {step.waiter.id for step in cycle})
    return finding


def _find_subjects(graph: WaitGraph, cycle: Sequence[Step]) -> Iterator[Subject]:
    for step in cycle:
        yield graph.actors.subject(step.waiter.id)
        if step.hold is not None:
            yield graph.actors.subject(step.wait.to)


def describe_others(graph: WaitGraph, identities: set[str]) -> list[Evidence]:
    """Who waits, step by step, for one of these."""
    others = graph.waiting_for(identities)
    names = [graph.actors.name(one.id) for one in others[:FEW]]
    more = f" and {len(others) - FEW} more" if len(others) > FEW else ""
    return [Evidence(text=f"behind them wait {', '.join(names)}{more}")] if names else []
