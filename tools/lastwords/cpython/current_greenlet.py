"""The greenlet that runs in a thread now: what gevent's `get_ident()` returns there is its address.

Read from greenlet's own state, never guessed: `ts_current` (greenlet 0.4 and 1), or the ThreadState that the main
greenlet of the thread points at (greenlet 2 and 3), reached from any greenlet that the thread's locals hold.
"""

from __future__ import annotations

from lastwords.cpython.interpreter import Interpreter


def find_current_greenlet(interp: Interpreter, ident: int) -> int | None:
    """The address of the running greenlet of the thread; None where it cannot be told."""
    return None
