"""`thread-stranded`: every thread waits for something that only another thread of the process could do."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.exits import describe_activity, describe_stand
from lastwords.diagnose.wait_graph import graph_of
from lastwords.model import Certainty, Evidence, Finding, Moment, Process, Report, Thread

CODE = "thread-stranded"
INSIDE = ("lock", "join", "event", "queue", "condition", "import_lock")  # only the process itself can end these
FEW = 6
# Python's own handler raises KeyboardInterrupt; faulthandler's do not come back; 32 and 33 are the C library's.
NO_HELP = frozenset({"SIGINT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIG32", "SIG33"})

EXPLANATION = (
    "Each thread of the process waits, without a timeout, for something that another thread would have to do: none is "
    "left that could. No timer, no descriptor and no signal handler is there to wake one of them."
)
FIX = (
    "Find who was to set, put or notify, and why it ended without: an exception in its thread goes to stderr alone. Do "
    "it in `finally`, wait for the worker's end as well (concurrent.futures hands exceptions over), or wait with a "
    "timeout."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each moment whose threads all wait so."""
    for moment, threads, _ in find_stranded(report):
        yield _make_finding(report, moment, threads)


def find_stranded(report: Report) -> Iterator[tuple[Moment, list[Thread], bool]]:
    """The moments whose threads all wait so, with these, and whether that is certain."""
    processes = {one.id: one for one in report.processes}
    shared = {one.id for one in report.objects if one.kind == "process_lock"}
    for moment in report.moments:
        threads = [thread for thread in report.threads if thread.moment == moment.id]
        is_deaf = _is_deaf(processes.get(moment.process))
        if is_deaf and all(_is_inside(one, shared) for one in threads) and any(map(_is_told, threads)):
            yield moment, threads, _certainty(moment, threads) == "certain"


def _is_deaf(process: Process | None) -> bool:
    """Whether no signal can make it run code of the program. False of what is in a core: the kernel keeps no masks."""
    caught = process.signals_caught if process else None
    return caught is not None and NO_HELP.issuperset(caught) and not (process and process.signals_handled)


def _is_told(thread: Thread) -> bool:
    """Whether somebody would have to tell it to go on. A lock has a holder, or had one: lock-cycle, orphaned-lock."""
    return thread.waits_for is not None and thread.waits_for.kind in ("event", "queue", "condition")


def _is_inside(thread: Thread, shared: set[str]) -> bool:
    wait = thread.waits_for
    if wait is None or wait.has_timeout or thread.consistent is False:
        return False
    return wait.kind in INSIDE and wait.target not in shared


def _make_finding(report: Report, moment: Moment, threads: list[Thread]) -> Finding:
    actors = graph_of(report).actors
    threads = sorted(threads, key=lambda thread: not thread.is_main)
    main = threads[0]
    alone = "and no other thread is left" if len(threads) == 1 else f"and so do all {len(threads)} threads"
    return Finding(
        code=CODE,
        title=f"nothing is left that could wake {actors.name(main.id)}: it {describe_activity(main)}, {alone}",
        certainty=_certainty(moment, threads),
        process=moment.process,
        subjects=[actors.subject(thread.id) for thread in threads[:FEW]],
        evidence=[*map(describe_stand, threads[:FEW]), Evidence(text="no signal but SIGINT has a handler")],
        explanation=EXPLANATION,
        fix=FIX,
    )


def _certainty(moment: Moment, threads: list[Thread]) -> Certainty:
    is_sure = all(one.waits_for and one.waits_for.certainty == "certain" and not one.error for one in threads)
    is_python = all(one.interpreter is not None for one in threads)  # C code may wake others by ways of its own
    return "certain" if is_sure and is_python and moment.capture.complete else "likely"
