"""`interrupt-lost`: KeyboardInterrupt, SystemExit or gevent's Timeout ended where it could not end anything."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import Actors
from lastwords.diagnose.caught import (
    basic_evidence,
    entered_at,
    is_of_module,
    place,
    raised_at,
    subjects,
    type_name,
    what_was_called,
)
from lastwords.diagnose.exits import describe_activity, describe_stand
from lastwords.diagnose.wait_graph import graph_of
from lastwords.model import Caught, Finding, Report, Thread

CODE = "interrupt-lost"

# The exception's type -> what it was to do.
INTERRUPTS = {
    "KeyboardInterrupt": "interrupt the program",
    "SystemExit": "end the program",
    "gevent.timeout.Timeout": "end a wait that took too long",
    "gevent.Timeout": "end a wait that took too long",
    "Timeout": "end a wait that took too long",
    "asyncio.exceptions.CancelledError": "cancel a task",
    "asyncio.CancelledError": "cancel a task",
    "gevent.GreenletExit": "end a greenlet",
    "greenlet.GreenletExit": "end a greenlet",
    "GreenletExit": "end a greenlet",
}
CLASHING = frozenset({"Timeout"})
EXPLANATION = (
    "Such an exception can arrive at any line. It arrived while the interpreter was running code that nobody "
    "called (a finalizer, a callback, the shutdown), and what leaves such code is printed and dropped. So it never "
    "reached the code it was meant for, and the program went on."
)
FIX = (
    "Keep such code short, and let the signal handler only set a flag (or write to a pipe) that the main loop looks "
    "at; then nothing is lost wherever it arrives. For this once: send the signal again."
)
EXIT_EXPLANATION = (
    "The program was done, and the interpreter joined the threads that are not daemons (threading._shutdown). The "
    "interrupt ended that wait and nothing else: it is the messenger. What held up the exit is the thread."
)
EXIT_FIX = (
    "Tell the thread to end before main does, and join it there: a sentinel in its queue, an Event that it asks for. "
    "Make it a daemon (daemon=True) only if it may be cut off at any line."
)
FEW = 4


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each interrupt that was swallowed; one that ended the program is no loss."""
    for caught in report.exceptions:
        if caught.how == "unraisable" and type_name(caught.exception) in INTERRUPTS:
            held_up = _find_joined(report, caught)
            yield _tell_exit(graph_of(report).actors, caught, held_up) if held_up else _finding(caught)


def _find_joined(report: Report, caught: Caught) -> list[Thread]:
    """The threads for which the exit waited when the interrupt came: one of them, in an order of its own.

    From 3.13 on the join is in C, where the exception is dropped at once, without a traceback.
    """
    entered = entered_at(caught) or next(reversed(caught.python_stack), None)
    if caught.moment is None or entered is None or entered.function != "_shutdown":
        return []
    threads = [one for one in report.threads if one.moment == caught.moment and not one.is_main]
    return [one for one in threads if one.daemon is False and not one.finishing and is_of_module(entered, "threading")]


def _tell_exit(actors: Actors, caught: Caught, held_up: list[Thread]) -> Finding:
    first, kind = held_up[0], type_name(caught.exception)
    more = f" (or one of {len(held_up) - 1} more)" if len(held_up) > 1 else ""
    finding = _finding(caught)
    finding.title = (
        f"{kind} ended the wait of the exit for thread {actors.name(first.id)}{more}, which {describe_activity(first)}"
    )
    finding.subjects = [*finding.subjects, *(actors.subject(one.id) for one in held_up[:FEW])]
    finding.evidence = [*map(describe_stand, held_up[:FEW]), *finding.evidence]
    finding.explanation, finding.fix = EXIT_EXPLANATION, EXIT_FIX
    return finding


def _finding(caught: Caught) -> Finding:
    kind, where = type_name(caught.exception), what_was_called(caught)
    inside = f" inside {where}" if where else ""
    return Finding(
        code=CODE,
        title=f"{kind} was swallowed{inside} at {place(raised_at(caught))}: it did not {INTERRUPTS[kind]}",
        certainty="likely" if kind in CLASHING else "certain",
        process=caught.process,
        subjects=subjects(caught),
        evidence=basic_evidence(caught),
        explanation=EXPLANATION,
        fix=FIX,
    )
