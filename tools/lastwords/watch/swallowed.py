"""An exception that is being swallowed or printed, read from the thread that gdb has stopped.

The thread holds the GIL, so that nothing of the interpreter moves while it is read.
"""

from __future__ import annotations

from lastwords.cpython import (
    Interpreter,
    ReadError,
    read_pending_exception,
    read_stack,
    read_threading,
    read_value,
)
from lastwords.cpython.dicts import find_item
from lastwords.cpython.exception import from_parts
from lastwords.cpython.knows import find_gone, find_known
from lastwords.cpython.structs import EXCEPTION
from lastwords.cpython.types import type_of
from lastwords.model import Caught, ExceptionValue, Frame, How
from lastwords.watch.glance import SHOWN, find_shown, find_traceback
from lastwords.watch.last import find_last
from lastwords.watch.messages import find_object, read_message, read_words
from lastwords.watch.stops import Stop


def read_caught(interp: Interpreter, stop: Stop, tstate: int, caught: Caught) -> None:
    """Fill in what the interpreter knows of the exception. Never raises: what is missing is `caught.error`."""
    try:
        stack = read_stack(interp, tstate)
        caught.python_stack, caught.error = stack.frames, stack.error
        caught.exception = _read(interp, stop, tstate)
        caught.phase = interp.phase()
    except ReadError as error:
        caught.error = f"{caught.error}; {error}" if caught.error else str(error)
    subject = find_object(interp, stop)
    if subject:
        caught.object = read_value(interp, subject)
    caught.message, caught.words = read_message(interp, stop, caught.exception), read_words(interp, stop)
    caught.how, caught.hook = decide_how(interp, stop, caught), find_hook(interp, stop, caught)
    if caught.how == "thread":
        caught.knew = find_known(interp, find_traceback(interp, stop, tstate))
    caught.gone = find_gone(interp, find_traceback(interp, stop, tstate), caught.phase)
    if caught.message is None:
        caught.message = _find_thread_message(interp, stop, caught)


# What the interpreter writes before it prints, by the function that does both (Modules/atexitmodule.c until 3.9,
# Python/pythonrun.c of 2.7).
_WRITTEN_BY = {"atexit_callfuncs": "Error in atexit._run_exitfuncs:", "call_sys_exitfunc": "Error in sys.exitfunc:"}
# What t_bootstrap and thread_run (Modules/_threadmodule.c) say of a thread's function, from 3.8 and from 3.13 on.
_OF_THREADS = ("in thread started by", "Exception ignored in thread started by %R")
_FINALIZING = {"Py_Finalize", "Py_FinalizeEx", "_Py_Finalize"}  # Python/pylifecycle.c


def judge_by_c_stack(caught: Caught) -> None:
    """What no field of the interpreter tells: that it has begun to end, and so, that the program was over."""
    if caught.phase == "running" and _FINALIZING & {frame.function for frame in caught.stack}:
        caught.phase, caught.hook = "shutdown", None
        caught.how = "printed" if caught.how == "uncaught" else caught.how
    if caught.how == "printed" and caught.message is None:
        callers = [_WRITTEN_BY[frame.function] for frame in caught.stack if frame.function in _WRITTEN_BY]
        caught.message = callers[0] if callers else None


def has_own_hook(interp: Interpreter) -> bool:
    """Whether `sys.unraisablehook` is the program's own, which may fail itself. Raises ReadError."""
    hook = find_item(interp, interp.sys_dict, "unraisablehook") if interp.sys_dict else None
    return bool(hook) and not type_of(interp, hook or 0).is_static("builtin_function_or_method")


def tell_again(interp: Interpreter, stop: Stop, caught: Caught) -> None:
    """What was printed before is called ignored now: the record becomes that of an unraisable exception."""
    caught.how = "unraisable"
    caught.message = read_message(interp, stop, caught.exception) or caught.message
    subject = find_object(interp, stop)
    if subject:
        caught.object = read_value(interp, subject)


def _read(interp: Interpreter, stop: Stop, tstate: int) -> ExceptionValue | None:
    if stop.function not in SHOWN:
        return read_pending_exception(interp, tstate)
    value, traceback = find_shown(stop)
    return from_parts(interp, _type_shown(interp, stop, value), value, traceback) if value else None


def _type_shown(interp: Interpreter, stop: Stop, value: int) -> int:
    """The exception's own type; before it is an instance the argument that stands before its value."""
    is_instance = interp.type_flags(value) & EXCEPTION
    at, _ = SHOWN[stop.function]
    return interp.number(value, "PyObject", "ob_type") if is_instance or not at else stop.argument(at - 1)


def decide_how(interp: Interpreter, stop: Stop, caught: Caught) -> How:
    """How the exception left the program, from where it was stopped and what the thread was running."""
    if stop.family == "unraisable":
        return "thread" if caught.words in _OF_THREADS else "unraisable"
    if last := _find_told(interp, stop, caught):
        return "uncaught" if last == find_shown(stop)[0] else "printed"  # that of a failing hook
    if not caught.python_stack:
        if stop.tid != stop.pid:
            return "thread"
        return "uncaught" if caught.phase == "running" else "printed"  # a callback at exit
    return "thread" if stop.function != "PyErr_Display" and _in_thread_hook(caught.python_stack) else "printed"


def find_hook(interp: Interpreter, stop: Stop, caught: Caught) -> str | None:
    """`PyErr_PrintEx` keeps what it is to tell of before it calls `sys.excepthook`: another one is the hook's own."""
    last = _find_told(interp, stop, caught) if not caught.python_stack else 0
    return "sys.excepthook" if last and last != find_shown(stop)[0] else None


def _find_told(interp: Interpreter, stop: Stop, caught: Caught) -> int:
    """The exception that is to end the program, as one is being shown; 0 where none is. Raises ReadError."""
    is_main = stop.tid == stop.pid and caught.phase == "running" and stop.function in SHOWN
    return find_last(interp) if is_main else 0


def _in_thread_hook(frames: list[Frame]) -> bool:
    """Whether it is printed for a thread that ends: `threading.excepthook`, called by the thread's first function."""
    return any(frame.function == "_bootstrap" for frame in frames[-1:]) and any(
        frame.function in ("_bootstrap_inner", "invoke_excepthook") for frame in frames[:2]
    )


def _find_thread_message(interp: Interpreter, stop: Stop, caught: Caught) -> str | None:
    """What Lib/threading.py or `_thread._excepthook` prints first."""
    if not caught.python_stack or not _in_thread_hook(caught.python_stack):
        return None
    if caught.how != "thread":
        is_hook = caught.python_stack[0].function == "invoke_excepthook"
        return "Exception in threading.excepthook:" if is_hook else None
    known = {entry.key: entry.name for entry in read_threading(interp, stop.ident).active}
    return f"Exception in thread {known[stop.ident]}:" if known.get(stop.ident) else None


def make_place(stop: Stop, caught: Caught) -> tuple[object, ...]:
    """What makes two exceptions come from the same place: process, function, type, and all lines."""
    kind = caught.exception.type if caught.exception else None
    traceback = caught.exception.traceback if caught.exception else []
    return (
        stop.pid,
        stop.function,
        kind,
        caught.how,
        caught.phase,
        tuple(_place(frame) for frame in traceback),
        tuple(_place(frame) for frame in caught.python_stack),
        stop.registers.get("return_address"),
    )


def _place(frame: Frame) -> tuple[str | None, str | None, int | None]:
    return frame.file, frame.function, frame.line
