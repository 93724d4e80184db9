"""`kill-swallowed`: somebody waits for the end of a greenlet or task that was told to end, caught that, and goes on."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import Actor, is_in, own_line, stand
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.hubs import name_greenlet
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Certainty, Evidence, Finding, Frame, Greenlet, Report, Task

CODE = "kill-swallowed"
MODULES = ("gevent.greenlet", "gevent._greenlet", "gevent._gevent_cgreenlet")
KILLS = ("kill", "killall")
SOURCE = (".kill(", "killall(")  # how a call of gevent's C code looks where its own frames have no names

EXPLANATION = (
    "kill() throws GreenletExit into the greenlet once, and waits for its end. The exception has been thrown: what is "
    "waited for now is the end. The greenlet is alive, so that something in it caught the exception: a bare `except:`, "
    "`except BaseException`, or a `finally` that waits."
)
FIX = (
    "Catch Exception, not everything; or let gevent.GreenletExit pass (`except gevent.GreenletExit: raise`). Where a "
    "greenlet has to clean up, do it in `finally`, and give kill() a timeout."
)
TASK_EXPLANATION = (
    "Task.cancel() throws CancelledError into the task once, at its next step. That has been: the task waits again, "
    "for something else. So something in it caught the exception (a bare `except:`, `except BaseException`, `except "
    "asyncio.CancelledError` without `raise`), or it waits while it cleans up."
)
TASK_FIX = (
    "Catch Exception, not everything, and let asyncio.CancelledError pass (`except asyncio.CancelledError: raise`). "
    "What has to wait while the task ends, in `finally`, should have a timeout."
)
END_OF_RUN = ("asyncio.runners", "_cancel_all_tasks")


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each greenlet that waits in `kill` for another that is suspended, and for each such task."""
    graph = graph_of(report)
    for waiter, task, sure in _find_tasks(report, graph):
        yield _tell_task(graph, waiter, task, sure)
    greenlets = {one.id: one for one in report.greenlets}
    for killer in report.greenlets:
        victim = greenlets.get(killer.waits_for.target or "") if killer.waits_for else None
        is_join = killer.waits_for is not None and killer.waits_for.kind == "join" and graph.judges(killer)
        certainty = _judge(killer) if is_join and victim is not None and victim.state == "suspended" else None
        if victim is not None and certainty is not None:
            yield _make_finding(graph, killer, victim, certainty)


def _judge(killer: Greenlet) -> Certainty | None:
    """Likely where a frame is that of gevent's `kill`; only possible where the text of the line is all there is."""
    frames = killer.stack
    if any(frame.module in MODULES and frame.function in KILLS for frame in frames):
        return "likely"
    inner = next((frame for frame in frames if frame.kind == "python"), None)
    return "possible" if inner is not None and any(one in (inner.source or "") for one in SOURCE) else None


def _make_finding(graph: WaitGraph, killer: Greenlet, victim: Greenlet, certainty: Certainty) -> Finding:
    process = graph.actors.process(killer.id)
    at = own_line(victim) or Frame(kind="python")
    where = f" at {at.file}:{at.line}" if at.file else ""
    name = name_greenlet(victim)
    caught = "caught" if certainty == "likely" else "may have caught"
    return Finding(
        code=CODE,
        title=f"{name} {caught} its kill and goes on{where}; {name_greenlet(killer)} waits for its end",
        certainty=certainty,
        process=process.id if process else None,
        subjects=[graph.actors.subject(victim.id), graph.actors.subject(killer.id)],
        evidence=[
            stand(killer, f"{name_greenlet(killer)} waits for its end"),
            stand(victim, f"{name_greenlet(victim)} is alive, and suspended here"),
            Evidence(text="it waits for", value=victim.waits_for.detail if victim.waits_for else "unknown"),
        ],
        explanation=EXPLANATION,
        fix=FIX,
    )


def _find_tasks(report: Report, graph: WaitGraph) -> Iterator[tuple[Actor, Task, Certainty]]:
    """Those that go on, with who waits for that: a task, or asyncio.run at its end, which has told all to end."""
    actors = graph.actors.by_id
    awaited = {one.to: actors[one.origin] for one in report.edges if one.kind == "waits" and one.origin in actors}
    ends = {loop.id: thread for loop in report.loops if (thread := _find_end(graph, loop.thread)) is not None}
    for task in report.tasks:
        waiter = awaited.get(task.id) or ends.get(task.loop or "")
        is_on = task.state == "waiting" and task.waits_for is not None and task.waits_for.kind != "join"
        if waiter is None or not is_on or not graph.judges(task):
            continue
        if task.cancelling:
            yield waiter, task, "likely"
        elif task.loop in ends:  # before 3.11 a task does not note who has told it to end
            others = [one for one in report.tasks if one.loop == task.loop and one is not task]
            yield waiter, task, "possible" if others else "likely"


def _find_end(graph: WaitGraph, thread: str | None) -> Actor | None:
    """The thread, where it runs the loop for the tasks that asyncio.run has cancelled."""
    found = graph.actors.by_id.get(thread or "")
    return found if found is not None and is_in(found, *END_OF_RUN) else None


def _tell_task(graph: WaitGraph, waiter: Actor, task: Task, certainty: Certainty) -> Finding:
    process, name, other = graph.actors.process(task.id), graph.actors.name(task.id), graph.actors.name(waiter.id)
    at = own_line(task) or Frame(kind="python")
    where = f" at {at.file}:{at.line}" if at.file else ""
    counted = "calls of cancel() that it has not answered are counted in it"
    return Finding(
        code=CODE,
        title=f"task {name} was told to end (cancel) and goes on{where}; {other} waits for its end",
        certainty=certainty,
        process=process.id if process else None,
        subjects=[graph.actors.subject(task.id), graph.actors.subject(waiter.id)],
        evidence=[
            stand(waiter, f"{other} waits for its end"),
            stand(task, f"task {name} {describe_activity(task)}"),
            Evidence(text=counted if task.cancelling else "asyncio.run has told all tasks to end: this one is left"),
        ],
        explanation=TASK_EXPLANATION,
        fix=TASK_FIX,
    )
