"""Which C function had an exception that it could not pass on, and what that function is there for."""

from __future__ import annotations

import msgspec

from lastwords.diagnose.caught import c_callers, c_name
from lastwords.model import Caught, Certainty

CALLBACK, FINALIZER, OUTPUT = "callback", "finalizer", "output"

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

# C function (Objects/typeobject.c, genobject.c, object.c, Modules/gcmodule.c; greenlet's own) -> what it runs.
FINALIZERS = {
    "slot_tp_finalize": "__del__",
    "slot_tp_del": "__del__",
    "instance_dealloc": "__del__",
    "_PyGen_Finalize": "closing an abandoned generator",
    "gen_del": "closing an abandoned generator",
    "gen_close": "closing an abandoned generator",
    "gen_dealloc": "closing an abandoned generator",
    "iobase_finalize": "closing an abandoned file",
    "sock_finalize": "closing an abandoned socket",
    "_green_dealloc_kill_started_non_main_greenlet": "killing an abandoned greenlet",
    "kill_greenlet": "killing an abandoned greenlet",
    "green_dealloc": "killing an abandoned greenlet",
    "PyObject_CallFinalizer": "a finalizer",
    "PyObject_CallFinalizerFromDealloc": "a finalizer",
    "finalize_garbage": "a finalizer",
    "subtype_dealloc": "a finalizer",
}

# Python/pylifecycle.c -> what it does.
OUTPUTS = {"flush_std_files": "flush", "flush_io": "flush"}

KINDS = [(CALLBACK, CALLBACKS), (FINALIZER, FINALIZERS), (OUTPUT, OUTPUTS)]
KNOWN = {name: (kind, what) for kind, table in KINDS for name, what in table.items()}


class Dropper(msgspec.Struct, frozen=True):
    """What dropped an exception; certain if no C frame inside it lacks a name."""

    kind: str
    what: str
    certainty: Certainty


def find_dropper(caught: Caught) -> Dropper | None:
    """The innermost of the C callers that is known; of several, it is the one that had the exception."""
    callers = c_callers(caught)
    for at, frame in enumerate(callers):
        known = KNOWN.get(c_name(frame) or "")
        if known:
            return Dropper(*known, "certain" if all(inner.function for inner in callers[:at]) else "likely")
    return None
