"""`loop-blocked`: a callback or coroutine waits in a call, or computes, and does not give way to the event loop."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from lastwords.diagnose.actors import actor_name, stand
from lastwords.diagnose.cycles import judge_cycle
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.lock_cycle import is_of_loop
from lastwords.diagnose.thread_stranded import find_stranded
from lastwords.diagnose.wait_graph import CALLS, Step, WaitGraph, describe_steps, describe_wait, graph_of
from lastwords.model import Evidence, Finding, Frame, Loop, Report, Task, Thread

CODE = "loop-blocked"
LONG = 0.1  # seconds: asyncio's own debug mode calls that slow
LATE = 1.0  # seconds, of a timer in a loop that runs: a busy machine makes them late, too
RUNS = ("asyncio.base_events", "_run_once")

EXPLANATION = (
    "asyncio runs callbacks and coroutines one after the other, in one thread. One of them is in a call that waits "
    "without `await`, or computes for long: until it returns, no other task goes on, no timer is due, and nobody is "
    "answered."
)
FIX = (
    "Await what can be awaited (asyncio.sleep, asyncio streams, an asynchronous client), and hand what cannot to a "
    "thread: await asyncio.to_thread(...), or loop.run_in_executor. asyncio.run(debug=True) names slow callbacks."
)
CIRCLE_FIX = (
    "Give a lock of threads back before the next `await`, or use asyncio.Lock, which the loop knows. Who has to wait "
    "for a lock that a thread keeps for long does so in a thread of its own: await asyncio.to_thread(...)."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each thread whose loop waits for one of its own callbacks or tasks, or has run one for long."""
    graph = graph_of(report)
    tasks = {one.thread: one for one in report.tasks if one.state == "running" and one.thread}
    loops = {one.thread: one for one in report.loops if one.thread}
    for thread in report.threads:
        task, loop = tasks.get(thread.id), loops.get(thread.id)
        is_inside = (task is not None and _is_in_task(thread, task)) or _is_in_callback(thread)
        if is_inside and graph.judges(thread) and _is_stuck(graph, thread, loop):
            yield _make_finding(graph, thread, task, loop)


def _is_stuck(graph: WaitGraph, thread: Thread, loop: Loop | None) -> bool:
    """Waiting for longer than a moment, or for good; or running, while what should have been called is late."""
    if graph.is_halted(thread):  # then everything is
        return False
    if thread.waits_for is not None:
        return (thread.idle_s or 0.0) >= LONG or bool(_find_circle(graph, thread)) or _is_for_good(graph.report, thread)
    return loop is not None and (loop.overdue_s or 0.0) >= LATE


def _is_for_good(report: Report, thread: Thread) -> bool:
    """Whether nobody is left who could end the wait, however short it was until now."""
    return any(thread.id == other.id for one in find_stranded(report) for other in one.threads)


def _find_circle(graph: WaitGraph, thread: Thread) -> tuple[Step, ...]:
    """The steps from the thread to a task of its own loop, which cannot run before it can."""
    cycle = graph.chain(thread.id).cycle
    return cycle if cycle and cycle[0].waiter.id == thread.id and is_of_loop(cycle) else ()


def _is_in_task(thread: Thread, task: Task) -> bool:
    """Not where the task has switched to a greenlet: what the thread does then is another matter."""
    outermost = [(frame.file, frame.line, frame.function) for frame in task.stack[-1:]]
    return any((frame.file, frame.line, frame.function) in outermost for frame in thread.stack)


def _is_in_callback(thread: Thread) -> bool:
    frames = [(frame.module, frame.function) for frame in thread.stack if frame.kind == "python"]
    return any(inner == CALLS and outer == RUNS for inner, outer in pairwise(frames))


def _make_finding(graph: WaitGraph, thread: Thread, task: Task | None, loop: Loop | None) -> Finding:
    wait, process, circle = thread.waits_for, graph.actors.process(thread.id), _find_circle(graph, thread)
    at = stand(thread, f"{actor_name(thread)} {describe_activity(thread)}")
    where = f" at {at.file}:{at.line}" if at.file else ""
    who = f"task {task.name}" if task and task.name else "it"
    late = f"; {_count(loop.overdue, 'timer')} overdue" if loop and loop.overdue else ""
    is_sure = circle and judge_cycle(circle) == "certain"
    does = ", which ".join(describe_wait(graph, step) for step in circle) if is_sure else describe_activity(thread)
    title = f"the event loop of {graph.actors.name(thread.id)} stands still{where}: {who} {does}"
    return Finding(
        code=CODE,
        title=f"{title}{late}",
        certainty=wait.certainty if wait and thread.consistent is not False else "likely",
        process=process.id if process else None,
        subjects=[graph.actors.subject(one) for one in _find_subjects(thread, task, circle)],
        evidence=[
            *(describe_steps(graph, circle) or [at]),
            *_describe_calls(thread),
            *_describe_time(thread),
            *_describe_rest(graph, task, loop),
        ],
        explanation=EXPLANATION,
        fix=CIRCLE_FIX if circle else FIX,
    )


def _find_subjects(thread: Thread, task: Task | None, circle: tuple[Step, ...]) -> list[str]:
    """Who stands still, and whom it waits for."""
    found = [thread.id, *([task.id] if task else ()), *(step.waiter.id for step in circle)]
    return list(dict.fromkeys(found))


def _count(number: int, what: str) -> str:
    return f"{number} {what} is" if number == 1 else f"{number} {what}s are"


def _describe_calls(thread: Thread) -> Iterator[Evidence]:
    for frame in thread.stack:
        if (frame.module, frame.function) == CALLS:
            yield Evidence(text="called by the event loop", file=frame.file, line=frame.line, value=frame.source)


def _describe_time(thread: Thread) -> Iterator[Evidence]:
    if thread.waits_for is not None:
        yield Evidence(text="it has not run for", value=f"{thread.idle_s or 0.0:.1f} s")


def _describe_rest(graph: WaitGraph, task: Task | None, loop: Loop | None) -> Iterator[Evidence]:
    """Which task it is, and what waits meanwhile."""
    if task is not None:
        at = task.stack[-1] if task.stack else Frame(kind="python")
        name = f"the task that runs is {graph.actors.name(task.id)}"
        yield Evidence(text=name, file=at.file, line=at.line, value=at.source)
    if loop is not None and loop.ready:
        yield Evidence(text="callbacks that the loop would call at once", value=str(loop.ready))
    if loop is not None and loop.overdue and loop.overdue_s is not None:
        late = f"{loop.overdue}; the first is {loop.overdue_s:.1f} s late"
        yield Evidence(text="timers whose time has passed", value=late)
