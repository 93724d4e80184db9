"""Which C function had an exception that it could not pass on, and what that function is there for."""

from __future__ import annotations

import msgspec

from lastwords.diagnose.caught import c_callers, c_name, entered_at, type_name
from lastwords.model import Caught, Certainty

CALLBACK, FINALIZER, OUTPUT, HOOK = "callback", "finalizer", "output", "hook"
NEVER_AWAITED = "dropping a coroutine that was never awaited"

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
    "_progress_handler": "sqlite3 callback",
    "_trace_callback": "sqlite3 callback",
    "_authorizer_callback": "sqlite3 callback",
    "pysqlite_collation_callback": "sqlite3 callback",
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
    "collation_callback": "sqlite3 callback",
    "_servername_callback": "ssl callback",
    "psk_client_callback": "ssl callback",
    "psk_server_callback": "ssl callback",
}

# C function (Objects/typeobject.c, genobject.c, object.c, Modules/gcmodule.c; greenlet's own) -> what it runs.
FINALIZERS = {
    "_PyErr_WarnUnawaitedCoroutine": NEVER_AWAITED,
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

# What C code says it is doing, without "Exception ignored" and the object: the constants that it passes to
# _PyErr_WriteUnraisableMsg (3.8 to 3.12) and PyErr_FormatUnraisable (3.13). They tell where its function has no name.
WORDS = {
    "in atexit callback": (CALLBACK, "atexit callback"),
    "in atfork callback": (CALLBACK, "at-fork hook"),
    "in audit hook": (CALLBACK, "audit hook"),
    "calling GC callback": (CALLBACK, "gc callback"),
    "calling weakref callback": (CALLBACK, "weakref callback"),
    "calling ctypes callback function": (CALLBACK, "ctypes callback"),
    "converting result of ctypes callback function": (CALLBACK, "ctypes callback"),
    "creating argument %zd for ctypes callback function": (CALLBACK, "ctypes callback"),
    "setting error for ctypes callback function": (CALLBACK, "ctypes callback"),
    "sqlite3 callback": (CALLBACK, "sqlite3 callback"),
    "in ssl servername callback while calling set SNI callback": (CALLBACK, "ssl callback"),
    "trying to write to the signal wakeup fd": (CALLBACK, "signal wake-up descriptor"),
    "calling deallocator": (FINALIZER, "__del__"),
    "closing generator": (FINALIZER, "closing an abandoned generator"),
    "finalizing generator": (FINALIZER, "closing an abandoned generator"),
    "finalizing async generator": (FINALIZER, "closing an abandoned generator"),
    "finalizing coroutine": (FINALIZER, NEVER_AWAITED),
    "finalizing file": (FINALIZER, "closing an abandoned file"),
    "finalizing socket": (FINALIZER, "closing an abandoned socket"),
    "finalizing scandir iterator": (FINALIZER, "closing an abandoned directory listing"),
    "finalizing database connection": (FINALIZER, "closing an abandoned database connection"),
    "flushing sys.stdout": (OUTPUT, "flush"),
    "in sys.unraisablehook": (HOOK, "sys.unraisablehook"),
}
# The type of the object that it passes along, where that says enough.
OBJECTS = {
    "generator": (FINALIZER, "closing an abandoned generator"),
    "async_generator": (FINALIZER, "closing an abandoned generator"),
    "_io.FileIO": (FINALIZER, "closing an abandoned file"),
    "socket.socket": (FINALIZER, "closing an abandoned socket"),
}

KINDS = [(CALLBACK, CALLBACKS), (FINALIZER, FINALIZERS), (OUTPUT, OUTPUTS)]
KNOWN = {name: (kind, what) for kind, table in KINDS for name, what in table.items()}


class Dropper(msgspec.Struct, frozen=True):
    """What dropped an exception; certain if no C frame inside it lacks a name."""

    kind: str
    what: str
    certainty: Certainty


def find_dropper(caught: Caught) -> Dropper | None:
    """What had the exception: by the C functions' names, else by what the C code said, or passed along."""
    if _is_never_awaited(caught):
        return Dropper(FINALIZER, NEVER_AWAITED, "certain")
    named, told = _find_named(caught), _find_told(caught)
    return told if told and (named is None or named.certainty != "certain" or told.kind == HOOK) else named


def _find_named(caught: Caught) -> Dropper | None:
    """The innermost of the C callers that is known; of several, it is the one that had the exception."""
    callers = c_callers(caught)
    for at, frame in enumerate(callers):
        known = KNOWN.get(c_name(frame) or "")
        if known:
            return Dropper(*known, "certain" if all(inner.function for inner in callers[:at]) else "likely")
    return None


def _find_told(caught: Caught) -> Dropper | None:
    known = WORDS.get(_core(caught.words)) if caught.words else None
    if known:
        return Dropper(*known, "certain")
    passed = OBJECTS.get((caught.object and caught.object.type) or "") if caught.how == "unraisable" else None
    return Dropper(*passed, "likely") if passed else None


def _is_never_awaited(caught: Caught) -> bool:
    """Whether a coroutine is what was dropped, and nothing but the warning of that was raised: none of its own code."""
    entered = entered_at(caught)
    is_warning = type_name(caught.exception) == "RuntimeWarning" and caught.how == "unraisable"
    is_coroutine = caught.object is not None and caught.object.type == "coroutine"
    return is_warning and is_coroutine and (entered is None or entered.function == "_warn_unawaited_coroutine")


def _core(words: str) -> str:
    """`calling deallocator`, of `Exception ignored while calling deallocator %R`."""
    words = words.removeprefix("Exception ignored").removesuffix("%R").strip()
    return next((words.removeprefix(one) for one in ("while ", "when ", "on ") if words.startswith(one)), words)
