"""How far the interpreter is on its way out (Python/pylifecycle.c: Py_FinalizeEx)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lastwords.capture import elf
from lastwords.capture.memory import ReadError
from lastwords.cpython.code import OPTIMIZED, find_function_code
from lastwords.cpython.exception import find_pending_traceback
from lastwords.cpython.frame import Place, read_frame_object, read_places
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.main_thread import find_main_state
from lastwords.cpython.modules import find_global, read_module
from lastwords.cpython.numbers import read_int
from lastwords.cpython.structs import INT, LONG
from lastwords.cpython.threading_state import is_main_stopped
from lastwords.model import Phase

Step = Literal["threading._shutdown", "atexit"]


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


def read_step(interp: Interpreter, places: Sequence[Place] | None = None) -> Step | None:
    """What the main thread does in the phase "shutdown"; None in another phase, and while it runs no Python there.

    places: its frames, innermost first, where these are not the ones that its state shows: those of its main greenlet

    It waits in `threading._shutdown`, whose very code its outermost frame runs (from 3.9 on the callbacks of
    concurrent.futures run in it, too), or, being past that, it runs a callback of `atexit`. Raises ReadError.
    """
    if read_phase(interp) != "shutdown":
        return None
    main = find_main_state(interp)
    places = (list(read_places(interp, main)) if main else []) if places is None else places
    codes = [place.code for place in places]
    if not codes:
        return None
    if codes[-1] == _find_code(interp, "threading", "_shutdown"):
        return "threading._shutdown"
    is_function = bool(interp.number(codes[-1], "PyCodeObject", "co_flags") & OPTIMIZED)
    return "atexit" if is_function and read_module(interp, "atexit") else None


def is_in_shutdown(interp: Interpreter) -> bool:
    """Whether finalization has begun, or `threading._shutdown` runs or has run."""
    if _has_begun(interp):
        return True
    try:
        return _is_flag_set(interp, find_global(interp, "threading", "_SHUTTING_DOWN")) or (
            is_main_stopped(interp) or _runs_an_end(interp)
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


def _runs_an_end(interp: Interpreter) -> bool:
    """Whether the main thread's outermost frame is, or was when it raised, one of the functions called at the end.

    `atexit._run_exitfuncs` is written in Python in 2.7 alone.
    """
    ends = {_find_code(interp, "threading", "_shutdown"), _find_code(interp, "atexit", "_run_exitfuncs")} - {None}
    main = find_main_state(interp) if ends else None
    return main is not None and not ends.isdisjoint(_outermost(interp, main))


def _find_code(interp: Interpreter, module: str, name: str) -> int | None:
    """The code object of a module's function; None where it has none."""
    function = find_global(interp, module, name)
    return find_function_code(interp, function) if function else None


def _outermost(interp: Interpreter, tstate: int) -> list[int]:
    """The code objects that a thread's stack and the traceback of its pending exception begin with."""
    codes = [place.code for place in read_places(interp, tstate)][-1:]
    traceback = find_pending_traceback(interp, tstate)
    if traceback:
        codes.append(read_frame_object(interp, interp.number(traceback, "PyTracebackObject", "tb_frame")))
    return codes
