"""`await-cycle`: asyncio tasks await each other, round and round; or one waits for itself.

A task that waits for several (asyncio.gather) cannot go on before each of them, so that any of them may close the
cycle: more than the graph of waits, which knows one wait of each.
"""

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
        for cycle in _find_cycles(graph, report):
            yield _make_finding(graph, cycle)


def is_of_tasks(cycle: tuple[Step, ...]) -> bool:
    """Whether a cycle is one that is told here."""
    return all(isinstance(step.waiter, Task) for step in cycle)


def _find_cycles(graph: WaitGraph, report: Report) -> Iterator[tuple[Step, ...]]:
    """Each task is in one cycle at most: the first that a walk along all waits comes to."""
    steps = _find_steps(graph, report)
    done: set[str] = set()
    for first in steps:
        cycle = _walk(steps, first, done) if first not in done else ()
        if cycle:
            yield cycle


def _walk(steps: dict[str, list[Step]], first: str, done: set[str]) -> tuple[Step, ...]:
    """The first cycle that can be reached from a task; where it leads has been seen then, and is `done`."""
    ways = {first: iter(steps[first])}  # the tasks on the way, each with its waits that are still to be followed
    trail: list[Step] = []
    while ways:
        here = next(reversed(ways))
        step = next(ways[here], None)
        if step is None:
            del ways[here]
            done.add(here)
            trail = trail[:-1]
        elif step.holder in ways:
            done.update(ways)
            return (*trail[list(ways).index(step.holder) :], step)
        elif step.holder not in done:
            trail.append(step)
            ways[step.holder] = iter(steps.get(step.holder, ()))
    return ()


def _find_steps(graph: WaitGraph, report: Report) -> dict[str, list[Step]]:
    """By the id of a task: whom it waits for, as far as these are tasks, or locks that one task holds."""
    tasks = {one.id: one for one in report.tasks}
    found: dict[str, list[Step]] = {}
    for edge in report.edges:
        waiter = tasks.get(edge.origin) if edge.kind == "waits" else None
        if waiter is None or edge.origin not in graph.waits:
            continue
        if edge.to in tasks:
            found.setdefault(edge.origin, []).append(Step(waiter, edge.to, edge))
        elif len(holds := graph.holds.get(edge.to, [])) == 1 and holds[0].origin in tasks:
            found.setdefault(edge.origin, []).append(Step(waiter, holds[0].origin, edge, holds[0]))
    return found


def _make_finding(graph: WaitGraph, cycle: tuple[Step, ...]) -> Finding:
    name = graph.actors.name(cycle[0].waiter.id)
    more = len(cycle) - MOST
    steps = ", which ".join(describe_wait(graph, step) for step in cycle[:MOST])
    steps += f", and so on through {more} more" if more > 0 else ""
    itself = len(cycle) == 1 and cycle[0].hold is None
    title = f"tasks await each other: {name} {steps}" if not itself else f"task {name} awaits its own end"
    found = Finding(code=CODE, title=title, certainty=judge_cycle(cycle), explanation=EXPLANATION, fix=FIX)
    return add_cycle(graph, found, cycle, MOST)
