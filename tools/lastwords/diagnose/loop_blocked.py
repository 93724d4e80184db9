"""`loop-blocked`: a callback or coroutine waits in a call that does not give way to the event loop."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from lastwords.diagnose.actors import actor_name, stand
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Evidence, Finding, Frame, Report, Thread

CODE = "loop-blocked"
LONG = 0.1  # seconds: asyncio's own debug mode calls that slow
RUNS = ("asyncio.base_events", "_run_once")
CALLS = ("asyncio.events", "_run")  # Handle._run: from here on it is the program's callback

EXPLANATION = (
    "asyncio runs callbacks and coroutines one after the other, in one thread. One of them is in a call that waits "
    "without `await`: until it returns, no other task goes on, no timer is due, and nobody is answered."
)
FIX = (
    "Await what can be awaited (asyncio.sleep, asyncio streams, an asynchronous client), and hand what cannot to a "
    "thread: await asyncio.to_thread(...), or loop.run_in_executor. asyncio.run(debug=True) names slow callbacks."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each thread whose loop waits for one of its own callbacks."""
    graph = graph_of(report)
    for thread in report.threads:
        if thread.waits_for and graph.judges(thread) and (thread.idle_s or 0.0) >= LONG and _is_in_callback(thread):
            yield _make_finding(graph, thread)


def _is_in_callback(thread: Thread) -> bool:
    frames = [(frame.module, frame.function) for frame in thread.stack if frame.kind == "python"]
    return any(inner == CALLS and outer == RUNS for inner, outer in pairwise(frames))


def _make_finding(graph: WaitGraph, thread: Thread) -> Finding:
    wait, process = thread.waits_for, graph.actors.process(thread.id)
    at = stand(thread, f"{actor_name(thread)} {describe_activity(thread)}")
    where = f" at {at.file}:{at.line}" if at.file else ""
    return Finding(
        code=CODE,
        title=f"the event loop of {graph.actors.name(thread.id)} stands still{where}: it {describe_activity(thread)}",
        certainty=wait.certainty if wait and thread.consistent is not False else "likely",
        process=process.id if process else None,
        subjects=[graph.actors.subject(thread.id)],
        evidence=[
            at,
            *(_describe(frame) for frame in thread.stack if (frame.module, frame.function) == CALLS),
            Evidence(text="it has not run for", value=f"{thread.idle_s or 0.0:.1f} s"),
        ],
        explanation=EXPLANATION,
        fix=FIX,
    )


def _describe(frame: Frame) -> Evidence:
    return Evidence(text="called by the event loop", file=frame.file, line=frame.line, value=frame.source)
