"""`exception-swallowed`: none of the others: which exception had nobody to go to, and where."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lastwords.diagnose.caught import (
    basic_evidence,
    c_callers,
    entered_at,
    name_of,
    object_name,
    subjects,
    summary,
)
from lastwords.model import Caught, Finding, Report

CODE = "exception-swallowed"

EXPLANATIONS = {
    "unraisable": "C code had an exception and no way to pass it on. It was printed (if sys.stderr was still there) "
    "and dropped; the program went on.",
    "printed": "The exception was printed and dropped; the program went on.",
    "uncaught": "Nothing caught the exception, so the interpreter printed it and ended the program.",
    "thread": "Nothing in the thread caught the exception, so the thread ended; the rest of the program went on.",
    "greenlet": "Nothing in the greenlet caught the exception, so gevent's hub printed it and the greenlet ended; "
    "the rest of the program went on.",
    "hub": "gevent's hub had called it, printed the exception and dropped it; the program went on.",
}
FIXES = {
    "unraisable": "Handle the exception inside the function that was called from C.",
    "printed": "Handle the exception where it is raised, or where the code is called that printed it.",
    "uncaught": "Handle the exception, or its cause: the traceback below shows the way it took.",
    "thread": "Handle the exception in the thread's function and hand it to whoever waits for the result "
    "(concurrent.futures does it); threading.excepthook sees those that are left.",
    "greenlet": "Handle the exception in the greenlet's function, or look at it with greenlet.get() or "
    "link_exception().",
    "hub": "Handle the exception in the function that the hub calls.",
}


def diagnose(report: Report, explained: Collection[str] = ()) -> Iterator[Finding]:
    """One finding for each exception whose id is not among those explained already."""
    for caught in report.exceptions:
        if caught.how != "fatal" and caught.id not in explained:
            yield _finding(report, caught)


def _finding(report: Report, caught: Caught) -> Finding:
    return Finding(
        code=CODE,
        title=_title(report, caught),
        certainty="certain" if caught.exception and caught.exception.type else "likely",
        process=caught.process,
        subjects=subjects(caught),
        evidence=basic_evidence(caught),
        explanation=EXPLANATIONS[caught.how],
        fix=FIXES[caught.how],
    )


def _title(report: Report, caught: Caught) -> str:
    what = summary(caught)
    match caught.how:
        case "uncaught":
            return f"the program ended by an uncaught {what}"
        case "thread":
            return f"{_thread_name(report, caught)} ended by an uncaught {what}"
        case "greenlet":
            return f"{_greenlet_name(report, caught)} ended by an uncaught {what}"
    dropper = next((frame.function for frame in c_callers(caught)[:1]), None)
    called, named = name_of(entered_at(caught)), object_name(caught)
    left = f", which left {called}" if called else f", in {named}" if named else ""
    by = f" by {dropper}" if dropper else ""
    return f"{what}{left}, was {'swallowed' if caught.how == 'unraisable' else 'printed and dropped'}{by}"


def _thread_name(report: Report, caught: Caught) -> str:
    """By its name, which is the id itself where the report has no such thread (the agent knows names only).

    One that `threading` does not know has none: by what it ran.
    """
    found = next((thread for thread in report.threads if thread.id == caught.thread), None)
    name, ran = found.name if found else caught.thread, name_of(entered_at(caught))
    return f"thread {name}" if name else f"a thread that ran {ran}" if ran else "a thread"


def _greenlet_name(report: Report, caught: Caught) -> str:
    """By what it ran, where the report has no such greenlet."""
    found = next((greenlet for greenlet in report.greenlets if greenlet.id == caught.greenlet), None)
    name, ran = (found.name or found.type) if found else caught.greenlet, name_of(entered_at(caught))
    return f"greenlet {name}" if name else f"a greenlet that ran {ran}" if ran else "a greenlet"
