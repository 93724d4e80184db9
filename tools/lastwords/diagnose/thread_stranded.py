"""`thread-stranded`: every thread waits for something that only another thread, or task, of the process could do."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.diagnose.actors import Actor, is_in, stand
from lastwords.diagnose.await_cycle import is_of_tasks
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Certainty, Evidence, Finding, Moment, Object, Process, Report, Task, Thread, WaitsFor

CODE = "thread-stranded"
INSIDE = ("lock", "join", "event", "queue", "condition", "import_lock")  # only the process itself can end these
TOLD = ("event", "queue", "condition")
FILE_LOCKS = ("flock", "fcntl")  # for these it is who has the lock
FEW = 6
# Python's own handler raises KeyboardInterrupt; faulthandler's do not come back; 32 and 33 are the C library's.
NO_HELP = frozenset({"SIGINT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIG32", "SIG33"})
RUNNER = ("asyncio.runners", "run")

EXPLANATION = (
    "Each thread of the process waits, without a timeout, for something that another thread would have to do: none is "
    "left that could. No timer, no descriptor and no signal handler is there to wake one of them."
)
FIX = (
    "Find who was to set, put or notify, and why it ended without: an exception in its thread goes to stderr alone. Do "
    "it in `finally`, wait for the worker's end as well (concurrent.futures hands exceptions over), or wait with a "
    "timeout."
)
LOOP_EXPLANATION = (
    "The event loop has no callback to call and no timer, and watches no descriptor but those by which its own process "
    "wakes it; no other thread is left that could. Its tasks wait for each other, or for what nobody does any more."
)
LOOP_FIX = (
    "Find who was to set, put, call task_done() or give a result, and why it did not: look at the other tasks' stacks, "
    "and at tasks that have ended (nobody who awaits them, and the exception is told late or never: asyncio.TaskGroup "
    "hands it over). Wait with asyncio.timeout or wait_for."
)


class Stranded(msgspec.Struct, frozen=True):
    """A moment whose threads all wait so, the main one first."""

    moment: Moment
    threads: list[Thread]
    certainty: Certainty


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each moment whose threads all wait so."""
    graph = graph_of(report)
    rounds = {step.waiter.moment for cycle in graph.cycles if is_of_tasks(cycle) for step in cycle}  # await-cycle
    for one in find_stranded(report):
        if one.moment.id in rounds:
            continue
        tasks = _find_tasks(report, graph, one)
        yield _make_finding(graph, one, _find_end(graph, one), tasks)


def find_stranded(report: Report) -> Iterator[Stranded]:
    """The moments whose threads all wait so."""
    processes = {one.id: one for one in report.processes}
    objects = {one.id: one for one in report.objects}
    for moment in report.moments:
        process = processes.get(moment.process)
        threads = [thread for thread in report.threads if thread.moment == moment.id]
        threads.sort(key=lambda thread: not thread.is_main)
        waits = [one.waits_for for one in threads if one.waits_for is not None and one.consistent is not False]
        is_inside = len(waits) == len(threads) and all(_is_inside(wait, process, objects) for wait in waits)
        is_told = any(_is_told(wait, objects) for wait in waits) or _is_among_themselves(report, threads)
        if is_inside and is_told and _is_deaf(process, threads):
            yield Stranded(moment, threads, _certainty(process, moment, threads))


def _is_deaf(process: Process | None, threads: list[Thread]) -> bool:
    """Whether no signal can make it run code of the program. False of what is in a core: the kernel keeps no masks."""
    caught = process.signals_caught if process else None
    if caught is None or process is None or not NO_HELP.issuperset(caught):
        return False
    return not process.signals_handled or (_is_for_interrupt_alone(process) and is_in(threads[0], *RUNNER))


def _is_for_interrupt_alone(process: Process) -> bool:
    """asyncio.run takes SIGINT to cancel its task, where the program has no handler of its own."""
    return process.signals_handled == ["SIGINT"]


def _is_told(wait: WaitsFor, objects: dict[str, Object]) -> bool:
    """Whether somebody would have to tell it to go on. A lock has a holder, or had one: lock-cycle, orphaned-lock."""
    found = objects.get(wait.target or "")
    return wait.kind in TOLD or (wait.kind == "lock" and found is not None and found.kind == "semaphore")


def _is_among_themselves(report: Report, threads: list[Thread]) -> bool:
    """Whether two of them wait for what another writes, or tasks in a loop do; one alone is `waits-for-io`."""
    polling = {one.id for one in threads if one.waits_for and one.waits_for.kind == "io"}
    return len(polling) > 1 or bool(_find_waiting_tasks(report, polling))


def _is_inside(wait: WaitsFor, process: Process | None, objects: dict[str, Object]) -> bool:
    found = objects.get(wait.target or "")
    if wait.has_timeout or (found is not None and found.kind == "process_lock"):
        return False
    is_own = process is not None and wait.pid == process.pid  # it alone has the other end
    return wait.kind in INSIDE or (wait.kind == "io" and is_own and wait.call not in FILE_LOCKS)


def _certainty(process: Process | None, moment: Moment, threads: list[Thread]) -> Certainty:
    is_sure = all(one.waits_for and one.waits_for.certainty == "certain" and not one.error for one in threads)
    is_python = all(one.interpreter is not None for one in threads)  # C code may wake others by ways of its own
    is_deaf = process is not None and not process.signals_handled
    return "certain" if is_sure and is_python and is_deaf and moment.capture.complete else "likely"


def _find_end(graph: WaitGraph, one: Stranded) -> Thread:
    """The thread for which the main one waits, step by step."""
    end = graph.chain(one.threads[0].id).end
    return next((thread for thread in one.threads if thread.id == end), one.threads[0])


def _find_tasks(report: Report, graph: WaitGraph, one: Stranded) -> list[Task]:
    """Those that wait in the loops of these threads: first the one for which the first waits, step by step."""
    tasks = _find_waiting_tasks(report, {thread.id for thread in one.threads})
    end = graph.chain(tasks[0].id).end if tasks else None
    return sorted(tasks, key=lambda task: task.id != end)


def _find_waiting_tasks(report: Report, threads: set[str]) -> list[Task]:
    loops = {loop.id for loop in report.loops if loop.thread in threads and not loop.error}
    return [task for task in report.tasks if task.loop in loops and task.waits_for is not None]


def _make_finding(graph: WaitGraph, one: Stranded, end: Thread, tasks: list[Task]) -> Finding:
    actors = graph.actors
    first: Actor = tasks[0] if tasks else end
    everybody: list[Actor] = [*tasks, end, *one.threads]
    about = list({each.id: each for each in everybody}.values())[:FEW]
    name = f"{'task ' if tasks else ''}{actors.name(first.id)}"
    return Finding(
        code=CODE,
        title=f"nothing is left that could wake {name}: it {describe_activity(first)}, {_tell_rest(graph, one, first)}",
        certainty=one.certainty,
        process=one.moment.process,
        subjects=[actors.subject(each.id) for each in about],
        evidence=[
            *(stand(each, f"{actors.name(each.id)} {describe_activity(each)}") for each in about),
            Evidence(text="no signal but SIGINT has a handler"),
        ],
        explanation=LOOP_EXPLANATION if tasks else EXPLANATION,
        fix=LOOP_FIX if tasks else FIX,
    )


def _tell_rest(graph: WaitGraph, one: Stranded, first: Actor) -> str:
    main = one.threads[0]
    if isinstance(first, Task):
        return f"and the event loop of {graph.actors.name(main.id)} has nothing else to wait for"
    if first is not main:
        return f"and {graph.actors.name(main.id)} waits for it"
    others = len(one.threads) - 1
    if others < 2:
        return "and so does the other thread" if others else "and no other thread is left"
    return f"and so do all {others + 1} threads"
