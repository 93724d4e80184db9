"""Threads of `threading` that are greenlets: `_active` knows each by its ident, which is the greenlet's address.

`threading._shutdown` (to 3.12) waits for no more than the lock that such a thread gives back at its end.
"""

from __future__ import annotations

from lastwords.capture.memory import ReadError
from lastwords.cpython.classes import find_module_globals
from lastwords.cpython.dicts import find_item, read_items
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import find_attributes, read_count

ACTIVE_LIMIT = 100_000


def read_thread_greenlets(interp: Interpreter) -> dict[int, int]:
    """The ident of each thread, by the addresses of its Thread object and of the lock that is for its end."""
    found: dict[int, int] = {}
    try:
        for variables in find_module_globals(interp, "threading"):
            active = find_item(interp, variables, "_active")
            for key, thread in read_items(interp, active, ACTIVE_LIMIT) if active else ():
                ident, lock = read_count(interp, key), find_attributes(interp, thread).get("_tstate_lock")
                found.update(dict.fromkeys([thread, *([lock] if lock else [])], ident or 0))
    except ReadError:
        pass
    return found
