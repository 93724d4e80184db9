"""`finalizer-failed`: an exception left `__del__`, a generator's close, a `weakref.finalize`, a dying greenlet."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.c_functions import FINALIZER, find_dropper
from lastwords.diagnose.caught import (
    basic_evidence,
    entered_at,
    has_c_names,
    is_of_module,
    subjects,
    summary,
    what_was_called,
)
from lastwords.model import Caught, Certainty, Finding, Report

CODE = "finalizer-failed"

FIX = {
    "__del__": "Let __del__ use only what is surely there: set attributes before anything in __init__ can raise, "
    "or ask with getattr(self, name, None). Better: close explicitly (a `with` block), and keep __del__ short.",
    "closing an abandoned generator": "Finish or close the generator yourself, where you can handle what it "
    "raises: `with contextlib.closing(generator) as rows:`.",
    "killing an abandoned greenlet": "Keep a reference to the greenlet until it has ended, or kill it explicitly "
    "and handle what its `finally` and `except` blocks raise.",
    "weakref.finalize": "Call the finalizer yourself, or use the object in a `with` block, before the program ends; "
    "and handle the error in the callback.",
}
EXPLANATION = (
    "Python runs a finalizer when the last reference goes or when the collector finds the object, in the middle of "
    "whatever runs then. Nobody called it, so nobody can catch what it raises: the interpreter prints it, drops it "
    "and goes on."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each exception that left a finalizer."""
    for caught in report.exceptions:
        match = _match(caught)
        if match:
            yield _finding(caught, *match)


def _match(caught: Caught) -> tuple[str, Certainty] | None:
    if _is_weakref_finalize(caught):
        return "weakref.finalize", "certain"
    dropper = find_dropper(caught)
    if dropper:
        return (dropper.what, dropper.certainty) if dropper.kind == FINALIZER else None
    return _guess(caught)


def _is_weakref_finalize(caught: Caught) -> bool:
    """`finalize._exitfunc` prints what its callbacks raise; otherwise they run inside `finalize.__call__`."""
    printing, entered = next(iter(caught.python_stack), None), entered_at(caught)
    at_exit = printing and printing.function == "_exitfunc" and is_of_module(printing, "weakref")
    called = entered and entered.function == "__call__" and is_of_module(entered, "weakref")
    return caught.how in ("printed", "unraisable") and bool(at_exit or called)


def _guess(caught: Caught) -> tuple[str, Certainty] | None:
    """Without C names: what was left is a function called __del__, straight from C."""
    entered = entered_at(caught)
    if caught.how == "unraisable" and not has_c_names(caught) and entered and entered.function == "__del__":
        return "__del__", "likely"
    return None


def _finding(caught: Caught, what: str, certainty: Certainty) -> Finding:
    name = what_was_called(caught)
    title = f"{name or what} raised {summary(caught)}, and nobody could catch it"
    return Finding(
        code=CODE,
        title=title if what in (name, "a finalizer", "__del__") or not name else f"{what}: {title}",
        certainty=certainty,
        process=caught.process,
        subjects=subjects(caught),
        evidence=basic_evidence(caught),
        explanation=EXPLANATION,
        fix=FIX.get(what, "Close it explicitly while errors can still be handled."),
    )
