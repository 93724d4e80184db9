"""`callback-failed`: an exception left a callback that the interpreter or C code calls and that had nobody to tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from lastwords.diagnose.caught import (
    basic_evidence,
    c_callers,
    entered_at,
    match_caller,
    name_of,
    subjects,
    summary,
)
from lastwords.model import Caught, Certainty, Finding, Frame, Report

CODE = "callback-failed"

# C function (Objects/weakrefobject.c, Modules/_ctypes/callbacks.c, atexitmodule.c, gcmodule.c, posixmodule.c,
# signalmodule.c, _sqlite/connection.c, Python/pylifecycle.c, sysmodule.c) -> what it calls.
CALLBACKS = {
    "handle_callback": "weakref callback",
    "PyObject_ClearWeakRefs": "weakref callback",
    "handle_weakrefs": "weakref callback",
    "_CallPythonObject": "ctypes callback",
    "closure_fcn": "ctypes callback",
    "atexit_callfuncs": "atexit callback",
    "_PyAtExit_Call": "atexit callback",
    "call_py_exitfuncs": "atexit callback",
    "call_sys_exitfunc": "atexit callback",
    "call_ll_exitfuncs": "atexit callback",
    "invoke_gc_callback": "gc callback",
    "run_at_forkers": "at-fork hook",
    "sys_audit_tstate": "audit hook",
    "_PySys_Audit": "audit hook",
    "PySys_Audit": "audit hook",
    "report_wakeup_write_error": "signal wake-up descriptor",
    "report_wakeup_send_error": "signal wake-up descriptor",
    "_pysqlite_func_callback": "sqlite3 callback",
    "_pysqlite_step_callback": "sqlite3 callback",
    "_pysqlite_final_callback": "sqlite3 callback",
    "_pysqlite_progress_handler": "sqlite3 callback",
    "_pysqlite_trace_callback": "sqlite3 callback",
    "_pysqlite_authorizer_callback": "sqlite3 callback",
    "func_callback": "sqlite3 callback",
    "step_callback": "sqlite3 callback",
    "final_callback": "sqlite3 callback",
    "progress_callback": "sqlite3 callback",
    "trace_callback": "sqlite3 callback",
    "authorizer_callback": "sqlite3 callback",
}
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
    "at-fork hook": "Handle the error inside the hook; the process goes on without what the hook was to do.",
}


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each exception that left a callback."""
    for caught in report.exceptions:
        match = match_caller(caught, CALLBACKS) or _extension(caught)
        if match:
            yield _finding(caught, *match)


def _extension(caught: Caught) -> tuple[str, Certainty] | None:
    """C code of another library than the interpreter's called into Python and dropped what came out of it."""
    dropped_by, printed_by = next(iter(c_callers(caught)), None), next(iter(caught.stack), None)
    if caught.how != "unraisable" or entered_at(caught) is None or not dropped_by or not printed_by:
        return None
    if dropped_by is printed_by or not dropped_by.library or dropped_by.library == printed_by.library:
        return None
    if dropped_by.function is None:
        return f"callback of {PurePath(dropped_by.library).name}", "likely"
    return f"callback of {dropped_by.function} in {PurePath(dropped_by.library).name}", "certain"


def _finding(caught: Caught, what: str, certainty: Certainty) -> Finding:
    called: Frame | None = entered_at(caught)
    name = name_of(called) or (caught.object.repr if caught.object else None)
    return Finding(
        code=CODE,
        title=f"the {what} {name + ' ' if name else ''}raised {summary(caught)}; it had nobody to tell",
        certainty=certainty,
        process=caught.process,
        subjects=subjects(caught),
        evidence=basic_evidence(caught),
        explanation=EXPLANATION,
        fix=FIXES.get(what, FIX),
    )
