"""`thread-stranded`: every thread waits for something that only another thread, or task, of the process could do."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.diagnose.actors import Actor, is_in, stand
from lastwords.diagnose.await_cycle import is_of_tasks
from lastwords.diagnose.cycles import ANSWER_FIX
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.wait_graph import WaitGraph, graph_of, is_lock
from lastwords.model import Certainty, Evidence, Finding, Moment, Process, Report, Task, Thread, WaitsFor

CODE = "thread-stranded"
INSIDE = ("lock", "join", "event", "queue", "condition", "import_lock")  # only the process itself can end these
OF_PROCESSES = "process_"  # the kinds of objects that several processes share begin so
TOLD = ("event", "queue", "condition")
FILE_LOCKS = ("flock", "fcntl")  # for these it is who has the lock
FEW = 6
SETTLED = 0.1  # seconds: who was woken has run by then
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
POOL, POOL_KEEPER = ("multiprocessing.pool", "wait"), ("multiprocessing.pool", "_handle_workers")
POOL_FIX = (
    "A worker that ends in the middle of its work (it was killed, or called sys.exit) takes that work along: "
    "multiprocessing.Pool starts another one, and the result never comes; nor does it where a result or an exception "
    "cannot be unpickled. concurrent.futures.ProcessPoolExecutor raises BrokenProcessPool instead. Or wait with a "
    "timeout."
)
IO_FIX = (
    "Whoever was to write there is gone, or waits itself for who reads (for a lock in its hands, or its end). Where it "
    "is gone, the read does not end because this process itself still has the other end open: close that here as soon "
    "as it was handed on (a pipe's after the fork, a Connection's after start())."
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
    """A moment whose threads all wait so, the main one first.

    others: the processes that could do it, if they did not wait so, too
    """

    moment: Moment
    threads: list[Thread]
    certainty: Certainty
    others: frozenset[int] = frozenset()


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each moment whose threads all wait so."""
    graph = graph_of(report)
    rounds = {step.waiter.moment for cycle in graph.cycles if is_of_tasks(cycle) for step in cycle}  # await-cycle
    for one in find_stranded(report):
        if one.moment.id in rounds:
            continue
        tasks = _find_waiting_tasks(report, {thread.id for thread in one.threads})
        yield _make_finding(graph, one, tasks)


def find_stranded(report: Report) -> Iterator[Stranded]:
    """The moments whose threads all wait so; of several that wait for each other, the first."""
    graph = graph_of(report)
    found = _find_waiting(report, graph)
    told: set[int] = set()
    for one in found:
        process = graph.actors.process(one.threads[0].id)
        is_told = any(_is_told(thread, graph, process) for thread in one.threads)
        is_told |= _is_among_themselves(report, one.threads)
        is_told |= any(thread.may_hold for thread in one.threads)  # it may be a cycle; that they all wait is enough
        is_told |= bool(one.others) and _is_answer_awaited(graph, one.threads[0])
        if process is not None and is_told and told.isdisjoint(one.others):
            told.add(process.pid)
            yield one


def _find_waiting(report: Report, graph: WaitGraph) -> list[Stranded]:
    """The moments whose threads all wait for each other, or for processes of which that is true as well."""
    processes = {one.id: one for one in report.processes}
    waiting: dict[int, tuple[Moment, list[Thread]]] = {}
    for moment in report.moments:
        process = processes.get(moment.process)
        threads = [thread for thread in report.threads if thread.moment == moment.id]
        threads.sort(key=lambda thread: not thread.is_main)
        if threads and process is not None and _is_deaf(process, threads):
            waiting[process.pid] = moment, threads
    while True:
        needs = {pid: _find_needed(graph, pid, threads) for pid, (_, threads) in waiting.items()}
        left = {pid: waiting[pid] for pid, needed in needs.items() if needed is not None and needed <= needs.keys()}
        if len(left) == len(waiting):
            break
        waiting = left
    ends = {pid: needed - {pid} for pid, needed in needs.items() if needed is not None}
    return [
        Stranded(moment, threads, _certainty(processes[moment.process], moment, threads, ends[pid]), ends[pid])
        for pid, (moment, threads) in waiting.items()
    ]


def _find_needed(graph: WaitGraph, pid: int, threads: list[Thread]) -> frozenset[int] | None:
    """The processes that could end one of these waits; None where anything else could, or a time."""
    needed: set[int] = set()
    for one in threads:
        if _is_keeper(one):
            continue
        found = _who_ends(graph, pid, one.waits_for) if one.waits_for and not _is_about_to_run(graph, one) else None
        if found is None or (found - {pid} and not graph.slept_through(one)):
            return None
        needed |= found
    return frozenset(needed)


def _is_about_to_run(graph: WaitGraph, thread: Thread) -> bool:
    """Whether somebody may have woken it just now; of what it reads nothing tells that but the time since then."""
    wait = thread.waits_for
    if wait is None or wait.woken or (thread.consistent is False and not _is_settled(graph, thread)):
        return True
    if wait.kind != "io":
        return False
    ready = [loop.ready for loop in graph.report.loops if loop.thread == thread.id]
    is_known = bool(ready) and None not in ready
    return any(ready) or not (is_known or thread.idle_s is None or thread.idle_s >= SETTLED)


def _is_settled(graph: WaitGraph, thread: Thread) -> bool:
    """Of a program that is not Python: it is never stopped, but whether it has run is known."""
    is_long = thread.idle_s is not None and thread.idle_s >= SETTLED and graph.slept_through(thread)
    return is_long and not graph.is_python(thread)


def _is_keeper(one: Thread) -> bool:
    """To 3.7 it looks ten times a second whether a pool's worker has ended; that gives nobody a result."""
    return one.waits_for is not None and one.waits_for.kind == "sleep" and is_in(one, *POOL_KEEPER)


def _is_answer_awaited(graph: WaitGraph, main: Thread) -> bool:
    """From a process that waits so, too: where each is the only one who could write, that is `lock-cycle`."""
    wait = main.waits_for
    is_asked = wait is not None and wait.kind == "io" and wait.serves is not True
    return is_asked and not graph.chain(main.id).cycle


def _who_ends(graph: WaitGraph, pid: int, wait: WaitsFor) -> set[int] | None:
    found = graph.actors.objects.get(wait.target or "")
    if wait.has_timeout:
        return None
    if found is not None and found.kind.startswith(OF_PROCESSES):
        return {pid, *found.sharers} if found.sharers is not None else None
    if wait.kind == "process":
        return {wait.pid} if wait.pid is not None else None
    if wait.kind == "io" and wait.call not in FILE_LOCKS:
        return set(wait.pids or ([wait.pid] if wait.pid is not None else [])) or None
    return {pid} if wait.kind in INSIDE else None


def _is_deaf(process: Process, threads: list[Thread]) -> bool:
    """Whether no signal can make it run code of the program. False of what is in a core: the kernel keeps no masks."""
    caught = process.signals_caught
    if caught is None or not NO_HELP.issuperset(caught):
        return False
    return not process.signals_handled or (_is_for_interrupt_alone(process) and is_in(threads[0], *RUNNER))


def _is_for_interrupt_alone(process: Process) -> bool:
    """asyncio.run takes SIGINT to cancel its task, where the program has no handler of its own."""
    return process.signals_handled == ["SIGINT"]


def _is_told(thread: Thread, graph: WaitGraph, process: Process | None) -> bool:
    """Whether somebody would have to tell it to go on. A lock has a holder, or had one: lock-cycle, orphaned-lock.

    Of descriptors, one that serves to wake it: what it asked of itself is `waits-for-io`, and who reads with a lock in
    hand that others wait for is `waits-on-holder`.
    """
    wait = thread.waits_for
    if wait is None:
        return False
    if wait.kind == "io":
        is_own = wait.serves is True and process is not None and wait.pid == process.pid
        return is_own and not _is_waited_for_by_lock(graph, thread)
    found = graph.actors.objects.get(wait.target or "")
    return wait.kind in TOLD or (wait.kind == "lock" and found is not None and found.kind.endswith("semaphore"))


def _is_waited_for_by_lock(graph: WaitGraph, thread: Thread) -> bool:
    waiting = graph.waiting_for({thread.id})
    return any(is_lock(graph, step) for one in waiting for step in graph.chain(one.id).steps)


def _is_among_themselves(report: Report, threads: list[Thread]) -> bool:
    """Whether two of them wait for what another writes, or tasks in a loop do; one alone is `waits-for-io`."""
    polling = {one.id for one in threads if one.waits_for and one.waits_for.kind == "io"}
    return len(polling) > 1 or bool(_find_waiting_tasks(report, polling))


def _certainty(process: Process, moment: Moment, threads: list[Thread], others: frozenset[int]) -> Certainty:
    """Several processes are never seen at the very same moment."""
    is_sure = all(one.waits_for and one.waits_for.certainty == "certain" and not one.error for one in threads)
    is_python = all(one.interpreter is not None for one in threads)  # C code may wake others by ways of its own
    is_alone = not process.signals_handled and not others
    return "certain" if is_sure and is_python and is_alone and moment.capture.complete else "likely"


def _find_end(graph: WaitGraph, first: Actor, everybody: list[Actor]) -> Actor:
    """For whom the first one waits, step by step."""
    end = graph.chain(first.id).end
    return next((one for one in everybody if one.id == end), first)


def _find_waiting_tasks(report: Report, threads: set[str]) -> list[Task]:
    loops = {loop.id for loop in report.loops if loop.thread in threads and not loop.error}
    return [task for task in report.tasks if task.loop in loops and task.waits_for is not None]


def _make_finding(graph: WaitGraph, one: Stranded, tasks: list[Task]) -> Finding:
    actors = graph.actors
    everybody: list[Actor] = [*tasks, *one.threads]
    first = _find_end(graph, everybody[0], everybody)
    of_loop = isinstance(first, Task)
    about = list({each.id: each for each in (first, *everybody)}.values())[:FEW]
    name = f"{'task ' if of_loop else ''}{actors.name(first.id)}"
    title = f"nothing is left that could wake {name}: it {describe_activity(first)}"
    return Finding(
        code=CODE,
        title=f"{title}, {_tell_rest(graph, one, first, tasks)}{_tell_others(one.others)}",
        certainty=one.certainty,
        process=one.moment.process,
        subjects=[actors.subject(each.id) for each in about],
        evidence=[
            *(stand(each, f"{actors.name(each.id)} {describe_activity(each)}") for each in about),
            Evidence(text="no signal but SIGINT has a handler"),
        ],
        explanation=LOOP_EXPLANATION if of_loop else EXPLANATION,
        fix=_find_fix(one, first),
    )


def _find_fix(one: Stranded, first: Actor) -> str:
    if isinstance(first, Task):
        return ANSWER_FIX if one.others else LOOP_FIX
    if is_in(first, *POOL):
        return POOL_FIX
    if first.waits_for is None or first.waits_for.kind != "io":
        return FIX
    return ANSWER_FIX if one.others else IO_FIX


def _tell_rest(graph: WaitGraph, one: Stranded, first: Actor, tasks: list[Task]) -> str:
    main = one.threads[0]
    if isinstance(first, Task):
        home = next((loop.thread for loop in graph.report.loops if loop.id == first.loop), None)
        return f"and the event loop of {graph.actors.name(home or main.id)} has nothing else to wait for"
    if first is not main:
        return f"and {f'task {graph.actors.name(tasks[0].id)}' if tasks else graph.actors.name(main.id)} waits for it"
    others = len(one.threads) - 1
    if others < 2:
        return "and so does the other thread" if others else "and no other thread is left"
    return f"and so do all {others + 1} threads"


def _tell_others(others: frozenset[int]) -> str:
    if not others:
        return ""
    shown = ", ".join(map(str, sorted(others)[:FEW]))
    more = f" and {len(others) - FEW} more" if len(others) > FEW else ""
    return (
        f"; process {shown} could, but waits so, too" if len(others) == 1 else f"; processes {shown}{more} wait so, too"
    )
