"""`healthy`, of a moment: each program runs, waits for a time, or waits as servers do when nobody asks for anything."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import Actor, is_in, stand
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.healthy import CODE
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Evidence, Finding, Report, Thread, WaitsFor

EXPLANATION = (
    "At the moment that was read, each main thread, or the one that it waits for, ran, waited for a time that will "
    "come, or waited as servers do: for a connection, a request, a key, a signal. What came before and what will come "
    "is not known."
)
FEW = 4
IDLE = ("gil", "sleep")
SIGNALS = ("pause", "rt_sigsuspend", "rt_sigtimedwait")  # what daemons do; where it is in vain: signal-ignored
LONG = 1.0  # seconds: who ran later than that goes on, whatever it waits for just now


def diagnose(report: Report) -> Iterator[Finding]:
    """The one finding of moments whose main threads were all seen, and are fine; one look is no more than likely."""
    graph = graph_of(report)
    mains = [thread for thread in report.threads if thread.is_main and thread.alive is not False]
    if any(one.exit or one.halt for one in report.processes):  # a core of what a signal ended; what nobody lets run
        return
    seen = {thread.moment for thread in mains}  # of a process of a tree that has ended meanwhile there are no threads
    seen |= _find_foreign(report)
    if not mains or not all(thread.moment in seen or _has_run(thread) for thread in report.threads):
        return
    ends = [graph.actors.by_id.get(graph.chain(main.id).end) for main in mains]
    fine = [end for end in ends if end is not None and _is_idle(graph, end)]
    if len(fine) == len(mains):
        shown = [graph.past_hub(end) for end in fine[:FEW]]
        said = f"{_say(graph, shown[0])}{_tell_others(len(fine) - 1)}"
        yield Finding(
            code=CODE,
            title=f"nothing is wrong that one look could tell: {said}",
            certainty="likely",
            subjects=[graph.actors.subject(shown[0].id)],
            evidence=[_describe(graph, one) for one in shown],
            explanation=EXPLANATION,
        )


def _find_foreign(report: Report) -> set[str]:
    """The moments of a tree's processes that are not Python: theirs is another matter."""
    foreign = {one.id for one in report.processes if one.python is None}
    running = {one.moment for one in report.threads if one.interpreter is not None}
    return {one.id for one in report.moments if one.process in foreign and one.id not in running}


def _tell_others(count: int) -> str:
    if count < 2:
        return ", and the other program is fine, too" if count else ""
    return f", and {count} more programs are fine, too"


def _is_idle(graph: WaitGraph, end: Actor) -> bool:
    wait = end.waits_for
    if isinstance(end, Thread) and _has_run(end):
        return True  # even if parts of its stack are missing: it ran on while it was read
    if end.error:
        return False
    if wait is None or wait.kind in IDLE or wait.has_timeout:
        return True
    return wait.serves is True or wait.call in SIGNALS or _is_next(graph, end) or _waits_for_handler(graph, end, wait)


def _has_run(thread: Thread) -> bool:
    return thread.state == "running" or (thread.idle_s is not None and thread.idle_s < LONG)


def _is_next(graph: WaitGraph, end: Actor) -> bool:
    """Whether it waits for its turn to get from a queue of processes, which one of those who are not seen here has."""
    wait = end.waits_for
    lock = graph.actors.objects.get(wait.target or "") if wait else None
    return lock is not None and lock.kind == "process_lock" and is_in(end, "multiprocessing.queues", "get")


def _waits_for_handler(graph: WaitGraph, end: Actor, wait: WaitsFor) -> bool:
    """Whether it is the main thread of a daemon, which sleeps on an event until a signal's handler sets that."""
    process = graph.actors.process(end.id)
    handled = set(process.signals_handled or ()) if process else set()
    return wait.kind == "event" and getattr(end, "is_main", False) is True and bool(handled - {"SIGINT"})


def _say(graph: WaitGraph, end: Actor) -> str:
    """What it does; of an event loop that polls, for how many tasks."""
    name, at = graph.actors.name(end.id), stand(end, "")
    loop = next((one for one in graph.report.loops if one.thread == end.id and not one.task and not one.ready), None)
    if loop is None or end.waits_for is None or end.waits_for.kind != "io":
        where = f" {at.file}:{at.line}" if at.file and end.waits_for is None else ""
        return f"{name} {describe_activity(end)}{where}"
    tasks = _count(sum(one.loop == loop.id for one in graph.report.tasks), "task")
    timers = f" and {_count(loop.scheduled, 'timer')}" if loop.scheduled else ""
    return f"the event loop of {name} waits, with {tasks}{timers}: it {describe_activity(end)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _describe(graph: WaitGraph, end: Actor) -> Evidence:
    return stand(end, f"{graph.actors.name(end.id)} {describe_activity(end)}")
