"""Frames that have taken a lock of which it is not known which: `self.lock_of(key).acquire()`.

As long as there is such a frame, a lock that nobody is known to hold may be the one that it has.
"""

from __future__ import annotations

from collections.abc import Iterable

from lastwords.cpython.code import read_frame
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.expressions import evaluate
from lastwords.cpython.holding.lock_calls import TAKING, LockCall, find_lock_calls
from lastwords.cpython.interpreter import Interpreter
from lastwords.model import Frame


def find_unknown_take(interp: Interpreter, places: Iterable[Place]) -> Frame | None:
    """The line of the first such call, from the innermost frame on. Raises ReadError."""
    for place in places:
        call = _find_last(interp, place)
        if call is not None and call.method in TAKING:
            return read_frame(interp, place.code, call.start)
    return None


def _find_last(interp: Interpreter, place: Place) -> LockCall | None:
    """The last call on an unknown lock that is over: who gives one back is taken to be through with it."""
    behind = (one for one in reversed(find_lock_calls(interp, place.code)) if one.end <= place.lasti)
    return next((one for one in behind if one.receiver is None or not evaluate(interp, place, one.receiver)), None)
