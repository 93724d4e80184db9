"""The local variables of a frame, as text: what `locals()` would give, without running anything.

A function keeps them in slots: those that are unbound are left out, like `locals()` leaves them out. The body of a
class, code given to exec() with a mapping of its own, and a function of 2.7 that contains `exec` keep them in
`f_locals`. The locals of a module's frame are its globals: they are *not* shown, since they are as many as the module
has names, and mostly functions and imports; only what a comprehension binds there meanwhile is (from 3.12 on).

The slots of a frame that runs may lag behind or have lost what its code has taken over already: they are what is
shown.
"""

from __future__ import annotations

from collections.abc import Iterable

from lastwords.capture.memory import ReadError
from lastwords.cpython.code import OPTIMIZED
from lastwords.cpython.dicts import named, read_items
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.slots import read_slots
from lastwords.cpython.structs import DICT
from lastwords.cpython.types import type_name, type_of
from lastwords.cpython.values import read_value
from lastwords.model import Value

NAMES = 100
CHARACTERS = 200  # of one value
TOTAL = 8_000  # of all values of a frame
MORE = "..."  # the name of an entry that stands for what is not shown


def read_locals(interp: Interpreter, place: Place) -> dict[str, Value]:
    """Value by name, in the order of the slots. Never raises.

    At most 100 names with reprs of 200 characters each and 8,000 in all. An entry "..." stands for names beyond that
    (`truncated`), and for those that could not be read (`missing` says why).
    """
    shown: dict[str, Value] = {}
    try:
        _add(interp, shown, find_locals(interp, place))
    except ReadError as error:
        shown[MORE] = Value(missing=error.missing)
    return shown


def find_locals(interp: Interpreter, place: Place) -> list[tuple[str, int]]:
    """(name, address of the object) of the bound local variables. Raises ReadError."""
    if interp.number(place.code, "PyCodeObject", "co_flags") & OPTIMIZED:
        return [(name, address) for name, address in read_slots(interp, place) if address]
    found = dict(_read_mapping(interp, place))  # what is in cells beside it belongs to enclosing functions and classes
    found.update((name, address) for name, address in read_slots(interp, place, with_cells=False) if address)
    return list(found.items())


def _read_mapping(interp: Interpreter, place: Place) -> Iterable[tuple[str, int]]:
    """The names in `f_locals`, where that is not the module's globals."""
    struct = "_PyInterpreterFrame" if interp.has("_PyInterpreterFrame") else "PyFrameObject"
    variables, own = interp.numbers(place.frame, struct, "f_globals", "f_locals")
    if own in (0, variables):
        return ()
    if not interp.type_flags(own) & DICT:
        raise ReadError(f"the locals at {own:#x} are in a mapping that is no dict")
    return named(interp, read_items(interp, own, 2 * NAMES))


def _add(interp: Interpreter, shown: dict[str, Value], found: Iterable[tuple[str, int]]) -> None:
    length = 0
    for name, address in found:
        if len(shown) >= NAMES:
            shown[MORE] = Value(truncated=True, missing="not available")
            return
        if length >= TOTAL:
            shown[name] = _read_type(interp, address)
        else:
            shown[name] = read_value(interp, address, CHARACTERS, attributes=True)
            length += len(shown[name].repr or "")


def _read_type(interp: Interpreter, address: int) -> Value:
    """A value of which no more than its type is told."""
    try:
        name = type_name(interp, type_of(interp, address))
        return Value(type=name, address=address, truncated=True, missing="not available")
    except ReadError as error:
        return Value(address=address, missing=error.missing)
