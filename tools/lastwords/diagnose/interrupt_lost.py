"""`interrupt-lost`: KeyboardInterrupt, SystemExit or gevent's Timeout ended where it could not end anything."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.caught import basic_evidence, place, raised_at, subjects, type_name, what_was_called
from lastwords.model import Caught, Finding, Report

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


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each interrupt that was swallowed; one that ended the program is no loss."""
    for caught in report.exceptions:
        if caught.how == "unraisable" and type_name(caught.exception) in INTERRUPTS:
            yield _finding(caught)


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
