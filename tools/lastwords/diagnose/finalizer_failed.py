"""`finalizer-failed`: an exception left `__del__`, a generator's close, a `weakref.finalize`, a dying greenlet."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.c_functions import FINALIZER, NEVER_AWAITED, find_dropper
from lastwords.diagnose.caught import (
    basic_evidence,
    entered_at,
    is_dropper_nameless,
    is_of_module,
    is_of_weakref_finalize,
    name_of,
    object_name,
    subjects,
    summary,
    traceback,
    type_name,
    what_was_called,
)
from lastwords.model import Caught, Certainty, Evidence, Finding, Report

CODE = "finalizer-failed"

FIX = {
    "__del__": "Let __del__ use only what is surely there: set attributes before anything in __init__ can raise, "
    "or ask with getattr(self, name, None). Better: close explicitly (a `with` block), and keep __del__ short.",
    "closing an abandoned generator": "Finish or close the generator yourself, where you can handle what it "
    "raises: `with contextlib.closing(generator) as rows:`.",
    "killing an abandoned greenlet": "Keep a reference to the greenlet until it has ended, or kill it explicitly "
    "and handle what its `finally` and `except` blocks raise.",
    NEVER_AWAITED: "Await the coroutine, or hand it to asyncio.create_task. With `python -X dev` the warning tells "
    "where it was made.",
    "weakref.finalize": "Call the finalizer yourself, or use the object in a `with` block, before the program ends; "
    "and handle the error in the callback.",
}
FIX_OF_WARNING = (
    "Close it where it is used, best in a `with` block; with `python -X tracemalloc=10` the warning tells where it was "
    "made. Warnings are errors here (-W error), and this one came where no error can be caught."
)
FIX_OF_GONE = (
    "Close it before the program ends (a `with` block, atexit): by now nothing that a finalizer names is sure to be "
    "there. What it must have then it can keep as an attribute or a default "
    "argument (`def __del__(self, _close=os.close)`)."
)
GONE_LATE = (
    " This one ran late: a module that is taken apart, when nobody holds it any more or when the interpreter ends, has "
    "its globals set to None one after the other (the builtins come last), and finalizers that run then miss them."
)
GONE_ERRORS = frozenset({"NameError", "AttributeError", "TypeError"})
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
    if is_of_weakref_finalize(caught):
        return "weakref.finalize", "certain"
    dropper = find_dropper(caught)
    if dropper:
        return (dropper.what, dropper.certainty) if dropper.kind == FINALIZER else None
    return _guess(caught)


def _guess(caught: Caught) -> tuple[str, Certainty] | None:
    """Where the C function has no name: what was left is a function called __del__, straight from C."""
    entered = entered_at(caught)
    if caught.how == "unraisable" and is_dropper_nameless(caught) and entered and entered.function == "__del__":
        return "__del__", "likely"
    return None


def _finding(caught: Caught, what: str, certainty: Certainty) -> Finding:
    is_late = _is_late(caught)
    return Finding(
        code=CODE,
        title=_title(caught, what),
        certainty=certainty,
        process=caught.process,
        subjects=subjects(caught),
        evidence=[*basic_evidence(caught), *(_tell_gone(caught) if is_late else ())],
        explanation=EXPLANATION + (GONE_LATE if is_late else ""),
        fix=FIX_OF_GONE if is_late else _fix(caught, what),
    )


def _is_late(caught: Caught) -> bool:
    """Whether what it names may be gone: the interpreter, or its module, is being taken apart."""
    return bool(caught.gone or caught.phase == "finalizing") and type_name(caught.exception) in GONE_ERRORS


def _title(caught: Caught, what: str) -> str:
    if what == NEVER_AWAITED:
        return (
            f"the coroutine {object_name(caught) or ''} was never awaited: {summary(caught)}, which nobody could catch"
        )
    name = _name_callback(caught) if what == "weakref.finalize" else what_was_called(caught)
    gone = f"; {_list(caught.gone)} None by then" if caught.gone and _is_late(caught) else ""
    title = f"{name or what} raised {summary(caught)}, and nobody could catch it{gone}"
    return title if what in (name, "a finalizer", "__del__") or not name else f"{what}: {title}"


def _name_callback(caught: Caught) -> str | None:
    """The first function outside of `weakref`, which called it."""
    inside = (frame for frame in reversed(traceback(caught)) if not is_of_module(frame, "weakref"))
    return name_of(next(inside, None)) or what_was_called(caught)


def _list(names: list[str]) -> str:
    return f"{', '.join(names)} {'were' if len(names) > 1 else 'was'}"


def _tell_gone(caught: Caught) -> Iterator[Evidence]:
    yield Evidence(text="the interpreter's phase at that moment", value=caught.phase)
    if caught.gone:
        yield Evidence(text="globals that this code names, and that were None", value=", ".join(caught.gone))


def _fix(caught: Caught, what: str) -> str:
    if type_name(caught.exception) == "ResourceWarning":
        return FIX_OF_WARNING
    return FIX.get(what, "Close it explicitly while errors can still be handled.")
