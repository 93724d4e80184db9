"""The local variables that a frame keeps in slots: names from its code object, values from the frame itself.

To 3.10: `f_localsplus` has the locals, then the cells, then the free variables (Include/cpython/frameobject.h). From
3.11: `localsplus`, one slot a name, `co_localspluskinds` says which are cells (Include/internal/pycore_code.h).
Module and class bodies keep their names in `f_locals`: see locals.py.
"""

from __future__ import annotations

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.frame import Place
from lastwords.cpython.structs import Structs
from lastwords.cpython.text import read_bytes_prefix, read_name
from lastwords.cpython.types import type_of

SLOTS_LIMIT = 1 << 16
NAME_LIMIT = 1 << 14  # characters
TOGETHER = 256  # names that are read in one go
CELL, FREE = 0x40, 0x80  # co_localspluskinds: CO_FAST_CELL, CO_FAST_FREE
TAGGED_INT = 3  # the low bits of a _PyStackRef that is no pointer (pycore_stackref.h, 3.14)


class Name(msgspec.Struct, frozen=True):
    """The name of a slot. `in_cell`: the slot refers to the value's cell."""

    text: str
    in_cell: bool


def read_slots(interp: Structs, place: Place, *, with_cells: bool = True) -> list[tuple[str, int]]:
    """(name, address of the object) of each local, cell and free variable; 0 where it is unbound. Raises ReadError.

    An argument that a nested function uses has two slots until 3.10: it is listed once, with what its cell has.
    """
    found: dict[str, int] = {}
    names = read_slot_names(interp, place.code)
    for name, word in zip(names, interp.pointers(find_first_slot(interp, place.frame), len(names)), strict=True):
        if with_cells or not name.in_cell:
            found[name.text] = _follow(interp, word, name.in_cell)
    return list(found.items())


def find_slot(interp: Structs, place: Place, name: str) -> int | None:
    """The address of the object that the frame's variable refers to; None where it has none, or it is unbound.

    Raises ReadError.
    """
    return dict(read_slots(interp, place)).get(name) or None


def read_slot_names(structs: Structs, code: int) -> list[Name]:
    """The names of all slots of a code object's frames, in the order of the slots. Raises ReadError."""
    known = structs.slots.get(code)
    if not isinstance(known, list):
        known = structs.slots[code] = _read_slot_names(structs, code)
    return known


def _read_slot_names(structs: Structs, code: int) -> list[Name]:
    if not structs.has("PyCodeObject", "co_localsplusnames"):
        plain = [Name(text, False) for text in _texts(structs, code, "co_varnames")]
        cells = [Name(text, True) for field in ("co_cellvars", "co_freevars") for text in _texts(structs, code, field)]
        return plain + cells
    names = _texts(structs, code, "co_localsplusnames")
    kinds, _ = read_bytes_prefix(structs, structs.number(code, "PyCodeObject", "co_localspluskinds"), SLOTS_LIMIT)
    if len(kinds) != len(names):
        raise ReadError(f"the code object at {code:#x} has {len(names)} names but {len(kinds)} kinds")
    return [Name(text, bool(kind & (CELL | FREE))) for text, kind in zip(names, kinds, strict=True)]


def _texts(structs: Structs, code: int, field: str) -> list[str]:
    found = read_tuple(structs, structs.number(code, "PyCodeObject", field), SLOTS_LIMIT)
    names: list[str] = []
    for start in range(0, len(found), TOGETHER):  # a damaged size ends at the first that is no name
        part = found[start : start + TOGETHER]
        structs.memory.read_many([(address, 64) for address in part])
        names += [read_name(structs, address, NAME_LIMIT) for address in part]
    return names


def find_first_slot(structs: Structs, frame: int) -> int:
    """Where a frame's slots begin. Raises ReadError."""
    if structs.has("_PyInterpreterFrame", "localsplus"):
        return structs.at(frame, "_PyInterpreterFrame", "localsplus")
    return structs.at(frame, "PyFrameObject", "f_localsplus")


def _follow(structs: Structs, word: int, in_cell: bool) -> int:
    """The object that a slot's word stands for: untagged, out of its cell; 0 for none.

    The slot of a cell variable holds the value itself until its MAKE_CELL has run (from 3.11 on).
    """
    mask = structs.layout.formats.pointer_mask
    address = 0 if word & ~mask & TAGGED_INT == TAGGED_INT else word & mask
    if address and in_cell and type_of(structs, address).is_static("cell"):
        return structs.number(address, "PyCellObject", "ob_ref")
    return address
