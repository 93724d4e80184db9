"""What the program itself calls an object: a global, an attribute of `self`, or a local of a frame that uses it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_attributes
from lastwords.cpython.dicts import named, read_named
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import read_module_name
from lastwords.cpython.slots import find_slot, read_slots
from lastwords.cpython.types import type_name, type_of

MODULE = "threading."
FRAMES_LIMIT = 12  # innermost frames that are asked; further out nobody speaks of it any more


def find_name(interp: Interpreter, places: Iterable[Place], address: int) -> str | None:
    """`bank.second_lock`, `Account._lock`, or a frame's own `other`, in this order; None where no frame names it."""
    near = list(places)[:FRAMES_LIMIT]
    for find in (_global_names, _own_attribute_names, _attribute_names, _local_names):
        for place in near:
            try:
                return next(name for name, found in find(interp, place) if found == address)
            except (StopIteration, ReadError):
                continue
    return None


def _global_names(interp: Interpreter, place: Place) -> Iterator[tuple[str, int]]:
    struct = "_PyInterpreterFrame" if interp.has("_PyInterpreterFrame") else "PyFrameObject"
    variables = interp.number(place.frame, struct, "f_globals")
    module = read_module_name(interp, variables)
    return ((f"{module}.{name}" if module else name, value) for name, value in read_named(interp, variables))


def _own_attribute_names(interp: Interpreter, place: Place) -> Iterator[tuple[str, int]]:
    """Not those by which `threading` calls what it was given: a Condition's `_lock` is somebody's lock."""
    return (one for one in _attribute_names(interp, place) if not one[0].startswith(MODULE))


def _attribute_names(interp: Interpreter, place: Place) -> Iterator[tuple[str, int]]:
    owner = find_slot(interp, place, "self")
    if owner:
        kind = type_name(interp, type_of(interp, owner))
        for name, value in named(interp, read_attributes(interp, owner)):
            yield f"{kind}.{name}", value


def _local_names(interp: Interpreter, place: Place) -> Iterator[tuple[str, int]]:
    return ((name, value) for name, value in read_slots(interp, place) if name != "self")  # whoever calls itself so
