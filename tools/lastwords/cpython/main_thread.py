"""The main thread, as the interpreter sees it: the one that made it, or that forked this process."""

from __future__ import annotations

from lastwords.cpython.interpreter import Interpreter


def read_main_ident(interp: Interpreter) -> int | None:
    """`_PyRuntime.main_thread`, from 3.7 on: its ident. None before, and where it is not set. Raises ReadError."""
    runtime = interp.image.address("_PyRuntime")
    if runtime is None or not interp.has("_PyRuntimeState", "main_thread"):
        return None
    return interp.number(runtime, "_PyRuntimeState", "main_thread") or None


def find_main_state(interp: Interpreter) -> int | None:
    """Its PyThreadState in the main interpreter: the oldest, which is the last of the list. Raises ReadError."""
    states = list(interp.thread_states(interp.main))
    ident = read_main_ident(interp)
    own = [state for state in states if ident in (None, interp.number(state, "PyThreadState", "thread_id"))]
    return own[-1] if own else None
