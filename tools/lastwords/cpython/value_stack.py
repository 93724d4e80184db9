"""A frame's evaluation stack: what its instructions have put there and not yet taken.

While a frame runs, the interpreter keeps the depth in a register. It is written down where the frame is suspended or
calls Python code (to 3.9 `f_stacktop`, 3.10 `f_stackdepth`, 3.11 to 3.13 `stacktop`), from 3.14 on before whatever
may call anything (`stackpointer`). Else the innermost block says how much of the stack is certainly in use: what an
exception would leave. Above that, slots may hold what was there before.
"""

from __future__ import annotations

import msgspec

from lastwords.cpython.bytecode import find_handler, read_handlers
from lastwords.cpython.frame import Place
from lastwords.cpython.slots import find_first_slot
from lastwords.cpython.structs import POINTER, Structs

STACK_LIMIT = 1 << 12
BLOCKS_LIMIT = 20  # CO_MAXBLOCKS of Include/code.h
TAGGED_INT = 3  # the low bits of a _PyStackRef that is no pointer (pycore_stackref.h, 3.14)


class Block(msgspec.Struct, frozen=True):
    """A block that a frame is in, to 3.10: the byte of its handler, and how much of the stack is below it."""

    handler: int
    level: int


def read_value_stack(interp: Structs, place: Place) -> list[int]:
    """The objects on a frame's evaluation stack that are certainly in use, bottom first. Raises ReadError."""
    words = interp.pointers(_bottom(interp, place), min(read_depth(interp, place), STACK_LIMIT))
    return [address for word in words if (address := _object(interp, word))]


def read_whole_frame(interp: Structs, place: Place) -> list[int]:
    """The objects in a frame's variables, cells among them, and on its evaluation stack, in use or not any more.

    Raises ReadError.
    """
    start, bottom = find_first_slot(interp, place.frame), _bottom(interp, place)
    size = interp.number(place.code, "PyCodeObject", "co_stacksize")
    words = interp.pointers(start, min(max(bottom - start, 0) // POINTER + size, STACK_LIMIT))
    return [address for word in dict.fromkeys(words) if (address := _object(interp, word))]


def read_depth(interp: Structs, place: Place) -> int:
    """How many slots are in use: exactly, where the frame has written it down; else at least. Raises ReadError."""
    known = _written_depth(interp, place)
    size = interp.number(place.code, "PyCodeObject", "co_stacksize")
    return known if known is not None and 0 <= known <= size else _guarded_depth(interp, place)


def _bottom(structs: Structs, place: Place) -> int:
    if structs.has("PyFrameObject", "f_valuestack"):
        return structs.number(place.frame, "PyFrameObject", "f_valuestack")
    return structs.at(place.frame, "_PyInterpreterFrame", "localsplus") + POINTER * _locals_count(structs, place)


def _locals_count(structs: Structs, place: Place) -> int:
    return structs.number(place.code, "PyCodeObject", "co_nlocalsplus")


def _written_depth(structs: Structs, place: Place) -> int | None:
    """What the frame says; None where it does not, or where it runs."""
    if structs.has("_PyInterpreterFrame", "stackpointer"):
        return _distance(structs, place, structs.number(place.frame, "_PyInterpreterFrame", "stackpointer"))
    if structs.has("_PyInterpreterFrame", "stacktop"):
        return structs.signed(place.frame, "_PyInterpreterFrame", "stacktop") - _locals_count(structs, place)
    if structs.has("PyFrameObject", "f_stackdepth"):
        return structs.signed(place.frame, "PyFrameObject", "f_stackdepth")
    return _distance(structs, place, structs.number(place.frame, "PyFrameObject", "f_stacktop"))


def _distance(structs: Structs, place: Place, top: int) -> int | None:
    return (top - _bottom(structs, place)) // POINTER if top else None


def _guarded_depth(structs: Structs, place: Place) -> int:
    if structs.has("PyFrameObject", "f_blockstack"):
        blocks = read_blocks(structs, place)
        return blocks[-1].level if blocks else 0
    handler = find_handler(read_handlers(structs, place.code), place.lasti)
    return handler.depth if handler else 0


def read_blocks(structs: Structs, place: Place) -> list[Block]:
    """The blocks that a frame is in, the outermost first, to 3.10. Raises ReadError."""
    count = min(structs.number(place.frame, "PyFrameObject", "f_iblock"), BLOCKS_LIMIT)
    start = structs.at(place.frame, "PyFrameObject", "f_blockstack")
    size = structs.layout.size("PyTryBlock")
    unit = structs.layout.formats.lasti_unit
    return [
        Block(structs.number(at, "PyTryBlock", "b_handler") * unit, structs.number(at, "PyTryBlock", "b_level"))
        for at in range(start, start + count * size, size)
    ]


def read_slot(structs: Structs, place: Place, index: int) -> int:
    """The object in one slot of the evaluation stack, 0 for none. Raises ReadError."""
    return _object(structs, structs.pointer(_bottom(structs, place) + POINTER * index))


def _object(structs: Structs, word: int) -> int:
    mask = structs.layout.formats.pointer_mask
    return 0 if word & ~mask & TAGGED_INT == TAGGED_INT else word & mask
