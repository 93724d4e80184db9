"""`hook-failed`: the hook that should have told of an exception failed itself."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.c_functions import HOOK, find_dropper
from lastwords.diagnose.caught import (
    basic_evidence,
    c_name,
    entered_at,
    is_of_module,
    name_of,
    raised_at,
    subject,
    subjects,
    summary,
    type_name,
)
from lastwords.model import Caught, Certainty, Evidence, Finding, Report, Subject

CODE = "hook-failed"

_DISPLAYS = frozenset({"PyErr_Display", "_PyErr_Display", "PyErr_DisplayException", "_PyErr_DisplayException"})
_PRINTERS = frozenset({"PyErr_PrintEx", "_PyErr_PrintEx"})
_THREAD_STARTS = ("_bootstrap", "__bootstrap")  # Lib/threading.py, of 3.x and of 2.7
_THREAD_TELLS = ("__bootstrap_inner",)  # it prints by itself on 2.7, which has no contexts
EXPLANATION = (
    "The interpreter calls the hook to tell of an exception that nobody caught. The hook raised one itself, so the "
    "first exception was not told the way the program meant it to be."
)
FIX = (
    "Let the hook catch its own errors and fall back on the interpreter's own (`sys.__excepthook__`, "
    "`sys.__unraisablehook__`, `threading.__excepthook__`), which can always be called."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each hook that failed."""
    for at, caught in enumerate(report.exceptions):
        match = _match(caught, report.exceptions[:at])
        if match:
            yield _finding(caught, *match)


def _match(caught: Caught, earlier: list[Caught]) -> tuple[str, Certainty] | None:
    if caught.how in ("uncaught", "thread", "fatal"):
        return ("threading.excepthook", "likely") if _is_telling_of_thread(caught) else None
    if caught.hook:
        return caught.hook, "certain"
    dropper = find_dropper(caught)
    if dropper and dropper.kind == HOOK:
        return dropper.what, dropper.certainty
    during = next(iter(caught.python_stack), None)
    if during and during.function == "invoke_excepthook" and is_of_module(during, "threading"):
        return "threading.excepthook", "certain"
    if _is_shown_by_the_printer(caught) and _is_another(caught, earlier):
        return "sys.excepthook", "likely"
    return None


def _is_telling_of_thread(caught: Caught) -> bool:
    """Whether it left the code that catches all that a thread raises, as that was telling of such an exception.

    It is so where `sys.stderr` is closed, or was replaced by what cannot be written to.
    """
    entered, at = entered_at(caught), raised_at(caught)
    if caught.how != "thread" or entered is None or at is None or not is_of_module(entered, "threading"):
        return False
    has_first = caught.exception is not None and caught.exception.context is not None
    return entered.function in _THREAD_STARTS and (has_first or at.function in _THREAD_TELLS)


def _is_shown_by_the_printer(caught: Caught) -> bool:
    """PyErr_PrintEx itself shows an exception only where sys.excepthook failed or is missing."""
    names = [c_name(frame) for frame in caught.stack[:3]]
    shower = next((name for name in names if name not in _DISPLAYS), None)
    return caught.how == "printed" and names[:1] != [shower] and shower in _PRINTERS


def _is_another(caught: Caught, earlier: list[Caught]) -> bool:
    """It is shown before the exception that the hook was to tell of; that one was stopped at when printing began."""
    printed = [
        raised_at(one)
        for one in earlier
        if one.process == caught.process and any(c_name(frame) in _PRINTERS for frame in one.stack[:4])
    ]
    return raised_at(caught) is not None and bool(printed) and raised_at(caught) not in printed


def _finding(caught: Caught, hook: str, certainty: Certainty) -> Finding:
    return Finding(
        code=CODE,
        title=f"{hook} failed itself: {summary(caught)}{_told(caught)}",
        certainty=certainty,
        process=caught.process,
        subjects=[*subjects(caught), *_first_subject(caught)],
        evidence=[*basic_evidence(caught), *_first_evidence(caught)],
        explanation=EXPLANATION,
        fix=FIX,
    )


def _told(caught: Caught) -> str:
    """What the hook was to tell: the exception that was being handled when the hook's own was raised."""
    first = caught.exception.context if caught.exception else None
    return f", while telling of {type_name(first)}" if first and first.type else ""


def _first_subject(caught: Caught) -> Iterator[Subject]:
    first = caught.exception.context if caught.exception else None
    if first and first.traceback:
        yield subject(first.traceback[0])


def _first_evidence(caught: Caught) -> Iterator[Evidence]:
    first = caught.exception.context if caught.exception else None
    if first and first.traceback and raised_at(caught):
        at = first.traceback[0]
        yield Evidence(
            text=f"the first exception, {type_name(first)}, was raised in {name_of(at)}",
            file=at.file,
            line=at.line,
            value=at.source,
        )
