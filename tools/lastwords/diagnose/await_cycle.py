"""`await-cycle`: asyncio tasks await each other, round and round; or one waits for itself."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.cycles import add_cycle, judge_cycle
from lastwords.diagnose.wait_graph import Step, WaitGraph, describe_wait, graph_of
from lastwords.model import Finding, Report, Task

CODE = "await-cycle"
MOST = 10  # tasks of one cycle that are shown

EXPLANATION = (
    "Each of these tasks waits for something that only the next can give, and the last waits for the first. None of "
    "these waits has a timeout: unless somebody cancels one of them, none will ever go on, and whoever awaits one of "
    "them neither. The event loop itself runs on, and so do all other tasks."
)
FIX = (
    "Let tasks await only those that they have made, or hand results on by a queue. Take asyncio locks in the same "
    "order everywhere, and await nothing inside `async with lock` that needs the lock. asyncio.timeout(...) "
    "(asyncio.wait_for before 3.11) turns such a wait into an error that says where."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each cycle of tasks alone."""
    if report.tasks:
        graph = graph_of(report)
        yield from (_make_finding(graph, cycle) for cycle in graph.cycles if is_of_tasks(cycle))


def is_of_tasks(cycle: tuple[Step, ...]) -> bool:
    """Whether a cycle is one that is told here."""
    return all(isinstance(step.waiter, Task) for step in cycle)


def _make_finding(graph: WaitGraph, cycle: tuple[Step, ...]) -> Finding:
    name = graph.actors.name(cycle[0].waiter.id)
    more = len(cycle) - MOST
    steps = ", which ".join(describe_wait(graph, step) for step in cycle[:MOST])
    steps += f", and so on through {more} more" if more > 0 else ""
    itself = len(cycle) == 1 and cycle[0].hold is None
    title = f"tasks await each other: {name} {steps}" if not itself else f"task {name} awaits its own end"
    found = Finding(code=CODE, title=title, certainty=judge_cycle(cycle), explanation=EXPLANATION, fix=FIX)
    return add_cycle(graph, found, cycle, MOST)
