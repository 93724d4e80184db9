"""Whether a thread has left its Python function while its PyThreadState is still there.

Then it runs the destructors of its thread-locals (PyThreadState_Clear), or it was stopped by finalization: whoever
wants the GIL when `_PyRuntime.finalizing` names another thread ends (to 3.13) or hangs for ever (from 3.14 on; late
3.13 releases too).

Certain signs of the first: `_status.finalizing` (Python/pystate.c, from 3.12 on). To 3.12 `on_delete_data`, which only
`Thread._bootstrap_inner` sets (_thread._set_sentinel), in a thread whose outermost frame is not `Thread._bootstrap`
any more. 2.7 has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastwords.capture.memory import ReadError
from lastwords.cpython.code import find_function_code
from lastwords.cpython.dicts import find_item
from lastwords.cpython.finalize import read_finalizer
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import find_global, read_module
from lastwords.cpython.structs import TYPE

if TYPE_CHECKING:
    from lastwords.cpython.threads import PythonThread

BOOTSTRAPS = ("_bootstrap", "_Thread__bootstrap")


class Ends:
    """What tells of the threads of one interpreter whether they are finishing, read once."""

    def __init__(self, interp: Interpreter, state: int) -> None:
        self._interp = interp
        self._finalizer: int | None = None
        self._bootstrap: int | None = None
        self._has_greenlets = True
        try:
            self._finalizer = read_finalizer(interp)
            self._has_greenlets = read_module(interp, "greenlet", state) is not None
            self._bootstrap = _find_bootstrap(interp, state)
        except ReadError:
            return

    def is_finishing(self, thread: PythonThread) -> bool | None:
        """None where that is not certain: of a thread that has not begun, and of one that `threading` did not start."""
        if self._finalizer and self._finalizer != thread.tstate:
            return True
        try:
            if self._is_cleared(thread.tstate):
                return True
            if thread.places and (thread.is_main or thread.places[-1].code == self._bootstrap):
                return False
            return True if self._has_left_bootstrap(thread) else None
        except ReadError:
            return None

    def _is_cleared(self, tstate: int) -> bool:
        if not self._interp.has("PyThreadState", "_status.finalizing"):
            return False
        return bool(self._interp.number(tstate, "PyThreadState", "_status.finalizing"))

    def _has_left_bootstrap(self, thread: PythonThread) -> bool:
        """A greenlet's own first frame may hide the thread's; a main thread's sentinel says nothing."""
        if self._has_greenlets or not self._bootstrap or thread.error or thread.thread_object:
            return False
        if not self._interp.has("PyThreadState", "on_delete_data") or thread.is_main is not False or not thread.ident:
            return False
        return bool(self._interp.number(thread.tstate, "PyThreadState", "on_delete_data"))


def _find_bootstrap(interp: Interpreter, state: int) -> int | None:
    """The code object of `threading.Thread._bootstrap`."""
    kind = find_global(interp, "threading", "Thread", state)
    if not kind or not interp.type_flags(kind) & TYPE:
        return None
    attributes = interp.number(kind, "PyTypeObject", "tp_dict")
    function = next((found for name in BOOTSTRAPS if (found := find_item(interp, attributes, name))), None)
    return find_function_code(interp, function) if function else None
