"""`contextlib.ExitStack`: what was entered by it and is left with it."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import find_attribute, read_tuple
from lastwords.cpython.classes import find_module_globals
from lastwords.cpython.deques import is_deque, read_deque
from lastwords.cpython.dicts import find_item
from lastwords.cpython.holding.with_blocks import read_bound
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.structs import TUPLE
from lastwords.cpython.types import bases, type_of

ENTERED_LIMIT = 1000


def find_entered(interp: Interpreter, manager: int) -> Iterator[int]:
    """The objects whose `__exit__` an ExitStack will call; none of any other object. Raises ReadError."""
    if not _is_exit_stack(interp, manager):
        return
    callbacks = find_attribute(interp, manager, "_exit_callbacks")
    if callbacks and is_deque(interp, type_of(interp, callbacks)):
        for entry in read_deque(interp, callbacks, ENTERED_LIMIT):
            parts = read_tuple(interp, entry) if interp.type_flags(entry) & TUPLE else [entry]  # 3.6: as it is
            yield from _find_objects(interp, parts[-1] if parts else 0)


def _find_objects(interp: Interpreter, callback: int) -> Iterator[int]:
    """What a method is bound to; to 3.7 a function has it in its closure."""
    bound = read_bound(interp, callback)
    if bound:
        yield bound
    elif callback and type_of(interp, callback).is_static("function"):
        closure = interp.number(callback, "PyFunctionObject", "func_closure")
        cells = read_tuple(interp, closure) if closure else []
        yield from filter(None, (interp.number(cell, "PyCellObject", "ob_ref") for cell in cells))


def _is_exit_stack(interp: Interpreter, address: int) -> bool:
    stacks = {find_item(interp, variables, "ExitStack") for variables in find_module_globals(interp, "contextlib")}
    try:
        return any(kind.address in stacks for kind in bases(interp, type_of(interp, address)))
    except ReadError:  # an object of a class whose bases make no sense is none
        return False
