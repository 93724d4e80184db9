"""`callback-failed`: an exception left a callback that the interpreter or C code calls and that had nobody to tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from lastwords.diagnose.actors import is_library
from lastwords.diagnose.c_functions import CALLBACK, find_dropper
from lastwords.diagnose.caught import (
    basic_evidence,
    c_callers,
    entered_at,
    evidence,
    is_of_weakref_finalize,
    subject,
    subjects,
    summary,
    what_was_called,
)
from lastwords.model import Caught, Certainty, Finding, Report

CODE = "callback-failed"

EXPLANATION = (
    "The interpreter (or C code) calls this function at a moment of its own choosing. It has no Python caller that "
    "could catch what it raises, so the exception is printed and dropped, and the program goes on as if it had not "
    "happened."
)
FIX = "Handle the error inside the callback: nobody outside can."
FIXES = {
    "ctypes callback": "Handle the error inside the callback and return a value that the C caller understands as "
    "failure; after an exception it gets 0 (or garbage), not an error.",
    "weakref callback": "Let the callback cope with what is gone already (`cache.pop(key, None)` rather than "
    "`del cache[key]`): it can run at any moment, also during shutdown.",
    "atexit callback": "Handle the error inside the callback; what it was to do at exit was not done to its end.",
    "hub": "Handle the error inside the callback. Where it is gevent's own code that failed, look at who gave way to "
    "the hub just then: hooks that run in a forked child (os.register_at_fork), finalizers and signal handlers should "
    "not wait, start threads or use locks.",
    "at-fork hook": "Handle the error inside the hook; the process goes on without what the hook was to do.",
}


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each exception that left a callback."""
    for caught in report.exceptions:
        if caught.how == "hub":
            yield _of_hub(caught)
            continue
        if is_of_weakref_finalize(caught):
            continue  # a finalizer
        dropper = find_dropper(caught)
        if dropper and dropper.kind == CALLBACK:
            yield _finding(caught, dropper.what, f"the {dropper.what} {_called(caught)}", dropper.certainty)
        other = None if dropper else _extension(caught)
        if other:
            caller, certainty = other
            yield _finding(caught, "callback", f"the callback {_called(caught)}of {caller} ", certainty)


def _of_hub(caught: Caught) -> Finding:
    """gevent's hub had called it; where the greenlet stands that gave way to the hub tells why it did so then."""
    finding = _finding(caught, "hub", f"a callback of gevent's hub{_named(caught)} ", "certain")
    at = next((one for one in caught.python_stack if not is_library(one)), None)
    if at is not None:
        finding.evidence += evidence(at, "the hub was given way to here")
        finding.subjects.append(subject(at))
    return finding


def _named(caught: Caught) -> str:
    name = what_was_called(caught)
    return f", {name}," if name else ""


def _extension(caught: Caught) -> tuple[str, Certainty] | None:
    """C code of another library than the interpreter's called into Python and dropped what came out of it."""
    dropped_by, printed_by = next(iter(c_callers(caught)), None), next(iter(caught.stack), None)
    if caught.how != "unraisable" or entered_at(caught) is None or not dropped_by or not printed_by:
        return None
    if dropped_by is printed_by or not dropped_by.library or dropped_by.library == printed_by.library:
        return None
    if dropped_by.function is None:
        return PurePath(dropped_by.library).name, "likely"
    return f"{dropped_by.function} in {PurePath(dropped_by.library).name}", "certain"


def _called(caught: Caught) -> str:
    """The callback's name and a space; nothing where it is not known."""
    name = what_was_called(caught)
    return f"{name} " if name else ""


def _finding(caught: Caught, what: str, who: str, certainty: Certainty) -> Finding:
    return Finding(
        code=CODE,
        title=f"{who}raised {summary(caught)}; it had nobody to tell",
        certainty=certainty,
        process=caught.process,
        subjects=subjects(caught),
        evidence=basic_evidence(caught),
        explanation=EXPLANATION,
        fix=FIXES.get(what, FIX),
    )
