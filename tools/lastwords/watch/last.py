"""The exception that ended the program, where the function that printed it could not be stopped at.

A compiler that optimises all of CPython at once leaves no `_PyErr_PrintEx` behind, and a program may have a
`sys.excepthook` of its own. But that function keeps the exception in `sys.last_exc` (before 3.12 in `sys.last_value`
and so on), where it is found when the interpreter begins to end.
"""

from __future__ import annotations

from collections.abc import Iterable

from lastwords.cpython import Interpreter, read_last_exception
from lastwords.cpython.dicts import find_item
from lastwords.model import Caught, ExceptionValue

_OUTERMOST = ("<module>", "_run_module_as_main")  # of a script or `-c`, of `-m`
UNSEEN = (
    "read from sys.last_exc when the interpreter ended: this Python has no symbol for the function that printed it, "
    "so there is no C stack of that moment"
)


def find_last(interp: Interpreter) -> int:
    """The address of what `sys.last_exc` or `sys.last_value` holds, 0 for nothing. Raises ReadError."""
    found = (find_item(interp, interp.sys_dict, name) for name in ("last_exc", "last_value"))
    return next((address for address in found if address), 0) if interp.sys_dict else 0


def find_unseen(interp: Interpreter, seen: Iterable[Caught]) -> ExceptionValue | None:
    """The exception that ended the program of this process, None if it is among `seen`. Raises ReadError."""
    last = read_last_exception(interp)
    if last is None or not last.traceback or last.traceback[-1].function not in _OUTERMOST:
        return None
    known = {_key(one.exception) for one in seen if one.exception}
    return None if _key(last) in known else last


def _key(exception: ExceptionValue) -> tuple[object, ...]:
    places = tuple((frame.file, frame.function, frame.line) for frame in exception.traceback)
    return exception.type, exception.value, places
