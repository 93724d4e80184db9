"""`lock-cycle`: threads, greenlets or tasks wait for each other, round and round; or one for itself.

`import-deadlock` where what one of them waits for is a module that another imports.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.await_cycle import is_of_tasks
from lastwords.diagnose.cycles import ANSWER_FIX, add_cycle, judge_cycle
from lastwords.diagnose.wait_graph import Step, WaitGraph, describe_wait, graph_of, is_lock
from lastwords.model import Finding, Greenlet, Report, Task

CODE = "lock-cycle"
IMPORT_CODE = "import-deadlock"

EXPLANATION = (
    "Each of them waits for something that only the next can give, and the last waits for the first. "
    "None of these waits has a timeout, so none of them will ever go on, and whoever waits for one of them neither."
)
OWN = (
    "It waits, without a timeout, for something that only it could give back. That it waits is why it will not: a "
    "plain lock does not know that it is asked by who has it."
)
FIX = (
    "Take the locks in the same order everywhere, or hold only one at a time: collect under one lock, act outside it. "
    "Join a thread outside every lock that it needs."
)
OWN_FIX = (
    "Use threading.RLock where the same thread comes back to a lock, or split the function: one that takes the lock, "
    "and one that expects it to be taken. In a signal handler, finalizer or callback take no lock: set a flag, or use "
    "queue.SimpleQueue."
)
IMPORT_FIX = (
    "Start no threads, and wait for none, at the top level of a module: its import is not over before that is. Do so "
    "in a function that main calls; and import in the same order everywhere."
)
FUTURE = (
    "It waits, without a timeout, for the result of the very work that it is in the middle of. As long as it waits, "
    "that work is not done."
)
FUTURE_FIX = (
    "Do not ask for a future's result in the work that is to give it, nor in a callback of that: return what is there, "
    "and let who submitted the work go on with it (add_done_callback)."
)
MOST = 8  # steps of a cycle that are told


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each cycle without imports."""
    return _find(report, CODE)


def diagnose_imports(report: Report) -> Iterator[Finding]:
    """One finding for each cycle in which somebody waits for the import of a module."""
    return _find(report, IMPORT_CODE)


def _find(report: Report, code: str) -> Iterator[Finding]:
    graph = graph_of(report)
    for cycle in graph.cycles:
        if is_of_tasks(cycle) or _is_of_one_hub(cycle) or is_of_loop(cycle):
            continue
        if code == (IMPORT_CODE if any(_is_import(step) for step in cycle) else CODE):
            yield _make_finding(graph, cycle, code)


def _is_of_one_hub(cycle: tuple[Step, ...]) -> bool:
    """Whether a greenlet stops its own thread for another of the same: that is told as what it is, a native wait."""
    threads = {one.thread if isinstance(one, Greenlet) else one.id for one in (step.waiter for step in cycle)}
    return len(threads) == 1 and any(step.carried for step in cycle)


def is_of_loop(cycle: tuple[Step, ...]) -> bool:
    """Whether a callback or task stops its own loop for another task of the same: that is `loop-blocked`."""
    return any(step.carried and isinstance(step.waiter, Task) for step in cycle)


def _is_import(step: Step) -> bool:
    wait = step.waiter.waits_for
    return wait is not None and wait.kind == "import_lock"


def _is_io(step: Step) -> bool:
    return step.waiter.waits_for is not None and step.waiter.waits_for.kind == "io"


def _make_finding(graph: WaitGraph, cycle: tuple[Step, ...], code: str) -> Finding:
    is_own = len(cycle) == 1
    title = _describe_own(graph, cycle[0]) if is_own else _describe(graph, cycle)
    said, fix = (OWN, OWN_FIX) if is_own else (EXPLANATION, FIX)
    if is_own and cycle[0].hold is not None and not is_lock(graph, cycle[0]):
        said, fix = FUTURE, FUTURE_FIX
    if any(_is_io(step) for step in cycle):
        fix = ANSWER_FIX
    fix = IMPORT_FIX if code == IMPORT_CODE else fix
    found = Finding(code=code, title=title, certainty=judge_cycle(cycle), explanation=said, fix=fix)
    return add_cycle(graph, found, cycle, MOST)


def _describe(graph: WaitGraph, cycle: tuple[Step, ...]) -> str:
    """`deadlock: save waits for lock db, held by evict, which waits for lock cache, held by save`."""
    steps = ", which ".join(describe_wait(graph, step) for step in cycle[:MOST])
    more = f", and so on through {len(cycle) - MOST} more" if len(cycle) > MOST else ""
    return f"deadlock: {graph.actors.name(cycle[0].waiter.id)} {steps}{more}"


def _describe_own(graph: WaitGraph, step: Step) -> str:
    name = graph.actors.name(step.waiter.id)
    if step.hold is None:
        return f"deadlock: {name} waits for its own end"
    does = "holds" if is_lock(graph, step) else "works for"
    return f"deadlock: {name} waits for {graph.actors.name(step.wait.to)}, which it {does} itself"
