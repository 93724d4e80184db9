"""`signal-ignored`: a signal that was sent, or that is waited for, and that will change nothing as things stand."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import stand
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Evidence, Finding, Process, Report, Thread

CODE = "signal-ignored"
LONG = 1.0  # seconds that the main thread has not run: else it is about to call the handler
DEFAULT = frozenset({"SIGINT"})  # which Python always has a handler for
LIBRARYS = frozenset({"SIG32", "SIG33"})  # the C library's own
TAKING = "anon_inode:[signalfd]"

PENDING = (
    "The kernel keeps a signal that is blocked until somebody unblocks it. Each thread of the process blocks this one, "
    "so that it is never delivered. A mask is inherited over fork and exec: often it was the parent that blocked it."
)
WAITING = (
    "The thread waits in a system call that only a signal with a handler ends, and it blocks those signals: the kernel "
    "gives them to another thread, or keeps them. Neither ends this call."
)
NOTED = (
    "Python's handler in C only notes that the signal came. The function in Python is called by the main thread alone, "
    "when it comes back to Python code; and it waits in C, in a call that a signal does not end."
)
FIX = (
    "Unblock the signal where it is to be taken (signal.pthread_sigmask), or start the program without the inherited "
    "mask; take signals with signal.sigwait() in one thread that blocks them, or in the main thread, which should not "
    "wait without a timeout in C for long (CPython 2.7: lock.acquire() and join() without one)."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """At most one finding for each process that was read at a moment: the first that there is reason for."""
    graph = graph_of(report)
    for process in report.processes:
        moments = {one.id for one in report.moments if one.process == process.id}
        threads = [one for one in report.threads if one.moment in moments and graph.judges(one)]
        found = [one for find in (_find_waiting, _find_pending, _find_noted) for one in find(graph, process, threads)]
        yield from found[:1]


def _find_waiting(graph: WaitGraph, process: Process, threads: list[Thread]) -> Iterator[Finding]:
    """In pause() with every handled signal blocked; likely where Ctrl-C alone is not."""
    caught = set(process.signals_caught or ()) - LIBRARYS
    for thread in threads:
        wait, blocked = thread.waits_for, set(thread.signals_blocked or ())
        handled = sorted(caught - DEFAULT)
        if wait is not None and wait.call == "pause" and handled and blocked.issuperset(handled):
            is_sure = caught <= blocked and thread.consistent is not False
            name = graph.actors.name(thread.id)
            title = f"{name} waits for a signal, and blocks those that it handles: {', '.join(handled)}"
            finding = _make_finding(graph, thread, title, WAITING)
            finding.certainty = "certain" if is_sure else "likely"
            yield finding


def _find_pending(graph: WaitGraph, process: Process, threads: list[Thread]) -> Iterator[Finding]:
    """Sent, and blocked by every thread; not where somebody takes it by signalfd or sigwait."""
    main = next((one for one in threads if one.is_main), None)
    taking = any(one.target == TAKING for one in process.fds)
    taking |= any(one.waits_for is not None and one.waits_for.call == "rt_sigtimedwait" for one in threads)
    masks = [one.signals_blocked or [] for one in threads]
    stuck = [one for one in process.signals_pending or () if all(one in mask for mask in masks)]
    if main is not None and stuck and not taking:
        yield _make_finding(graph, main, f"{', '.join(stuck)} was sent, and every thread blocks it", PENDING)


def _find_noted(graph: WaitGraph, process: Process, threads: list[Thread]) -> Iterator[Finding]:
    """Python has noted it, and the main thread does not come to call the handler."""
    main = next((one for one in threads if one.is_main), None)
    if main is None or main.waits_for is None or main.consistent is False or (main.idle_s or 0.0) < LONG:
        return
    if process.signals_noted:
        names, name = ", ".join(process.signals_noted), graph.actors.name(main.id)
        title = f"{names} came, and its handler is not called: {name} {describe_activity(main)}"
        yield _make_finding(graph, main, title, NOTED)


def _make_finding(graph: WaitGraph, thread: Thread, title: str, explanation: str) -> Finding:
    process, name = graph.actors.process(thread.id), graph.actors.name(thread.id)
    facts = {
        "handled": process.signals_caught if process else None,
        "ignored": process.signals_ignored if process else None,
        "sent, and not delivered": process.signals_pending if process else None,
        "noted by Python": process.signals_noted if process else None,
        f"blocked by {name}": thread.signals_blocked,
    }
    return Finding(
        code=CODE,
        title=title,
        certainty="likely",  # whether somebody misses it is not known
        process=process.id if process else None,
        subjects=[graph.actors.subject(thread.id)],
        evidence=[
            stand(thread, f"{name} {describe_activity(thread)}"),
            *(Evidence(text=f"signals {what}", value=", ".join(which)) for what, which in facts.items() if which),
        ],
        explanation=explanation,
        fix=FIX,
    )
