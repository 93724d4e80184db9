"""How far the interpreter is on its way out (Python/pylifecycle.c: Py_FinalizeEx)."""

from __future__ import annotations

from lastwords.capture import elf
from lastwords.capture.memory import ReadError
from lastwords.cpython.code import find_function_code
from lastwords.cpython.exception import find_pending_traceback
from lastwords.cpython.frame import read_frame_object, read_places
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import find_global
from lastwords.cpython.numbers import read_int
from lastwords.cpython.structs import INT, LONG
from lastwords.cpython.threading_state import is_main_stopped
from lastwords.model import Phase


def read_phase(interp: Interpreter) -> Phase:
    """ "finalizing" once the interpreter takes itself apart, "shutdown" while it waits for threads or runs atexit.

    Before 3.13 "shutdown" is told by what `threading` says: without that module it reads as "running".
    Raises ReadError.
    """
    if is_finalizing(interp):
        return "finalizing"
    return "shutdown" if is_in_shutdown(interp) else "running"


def is_finalizing(interp: Interpreter) -> bool:
    """Whether `read_finalizer` names a thread, or `initialized` is 0 again (2.7)."""
    finalizer = read_finalizer(interp)
    if finalizer is not None:
        return bool(finalizer)
    static = elf.decode_static(interp.image.elf, "Py_IsInitialized")
    if static is None:
        return False
    return interp.memory.read(static + interp.image.bias, 4) == bytes(4)


def read_finalizer(interp: Interpreter) -> int | None:
    """The PyThreadState that takes the interpreter apart, 0 for none yet: no other may run Python from then on.

    `_PyRuntime.finalizing` (3.7 on), `_Py_Finalizing` (3.6); None for 2.7, which stops no thread. Raises ReadError.
    """
    runtime = interp.image.address("_PyRuntime")
    if runtime is not None and interp.has("_PyRuntimeState", "_finalizing"):
        return interp.number(runtime, "_PyRuntimeState", "_finalizing")
    pointer = interp.image.address("_Py_Finalizing")
    return interp.pointer(pointer) if pointer is not None else None


def is_in_shutdown(interp: Interpreter) -> bool:
    """Whether finalization has begun, or `threading._shutdown` runs or has run."""
    if _has_begun(interp):
        return True
    try:
        return _is_flag_set(interp, find_global(interp, "threading", "_SHUTTING_DOWN")) or (
            is_main_stopped(interp) or _runs_threading_shutdown(interp)
        )
    except ReadError:
        return False


def _has_begun(interp: Interpreter) -> bool:
    """`interp->finalizing`, which Py_FinalizeEx sets first in the releases that set it at all."""
    if not interp.has("PyInterpreterState", "finalizing"):
        return False
    return bool(interp.number(interp.main, "PyInterpreterState", "finalizing"))


def _is_flag_set(interp: Interpreter, address: int | None) -> bool:
    return bool(address and interp.type_flags(address) & (INT | LONG) and read_int(interp, address))


def _runs_threading_shutdown(interp: Interpreter) -> bool:
    """Whether a thread's outermost frame is, or was when it raised, `threading._shutdown`: its very code object."""
    function = find_global(interp, "threading", "_shutdown")
    code = find_function_code(interp, function) if function else None
    if not code:
        return False
    return any(code in _outermost(interp, state) for state in interp.thread_states(interp.main))


def _outermost(interp: Interpreter, tstate: int) -> list[int]:
    """The code objects that a thread's stack and the traceback of its pending exception begin with."""
    codes = [place.code for place in read_places(interp, tstate)][-1:]
    traceback = find_pending_traceback(interp, tstate)
    if traceback:
        codes.append(read_frame_object(interp, interp.number(traceback, "PyTracebackObject", "tb_frame")))
    return codes
