"""The `with` blocks that a frame is inside of, each with the object that it will leave.

A block begins behind the call of `__enter__`, so that a frame that still waits there is not in it. It leaves by the
`__exit__` on the frame's evaluation stack: bound to its object, or from 3.14 on beside it. Which slot that is, the
block itself says, so that nothing that was left on the stack is taken for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.bytecode import (
    Handler,
    find_enclosing,
    find_instruction,
    opcodes_of,
    read_handlers,
    read_instructions,
    read_name_at,
)
from lastwords.cpython.frame import Place
from lastwords.cpython.structs import CODE_UNIT, Structs
from lastwords.cpython.types import type_of
from lastwords.cpython.value_stack import read_blocks, read_slot

SETUPS, START = ("SETUP_WITH", "SETUP_ASYNC_WITH"), "WITH_EXCEPT_START"
ENTERS = ("BEFORE_WITH", "COPY")  # the first instruction behind the expression; from 3.14 on five more follow
ENTERS_LIMIT = 6
NOPS_LIMIT = 4


class WithBlock(msgspec.Struct, frozen=True):
    """`manager`: the object whose `__exit__` is on the stack; `enters_at`: the byte where its expression has ended."""

    manager: int
    enters_at: int


def find_with_blocks(structs: Structs, place: Place) -> list[WithBlock]:
    """The `with` blocks that a frame is inside of, the innermost first. Raises ReadError."""
    if structs.has("PyFrameObject", "f_blockstack"):
        return list(_find_pushed(structs, place))
    return list(_find_covering(structs, place))


def _find_pushed(structs: Structs, place: Place) -> Iterator[WithBlock]:
    """To 3.10: the frame's blocks whose handler is the one that a SETUP_WITH (or SETUP_ASYNC_WITH) has set up."""
    blocks = read_blocks(structs, place)
    if not blocks:
        return
    unit = structs.layout.formats.lasti_unit
    instructions = read_instructions(structs, place.code)
    setups = {one.end + one.argument * unit: one for one in instructions if one.name in SETUPS}
    for block in reversed(blocks):
        manager = read_bound(structs, read_slot(structs, place, block.level - 1)) if block.level > 0 else 0
        if manager and block.handler in setups:
            yield WithBlock(manager, setups[block.handler].start)


def _find_covering(structs: Structs, place: Place) -> Iterator[WithBlock]:
    """From 3.11 on: the blocks around the current instruction whose handler begins by calling `__exit__`."""
    handlers = read_handlers(structs, place.code)
    at = _past_nops(structs, place) if handlers else place.lasti
    for handler in find_enclosing(handlers, at):
        if _calls_exit(structs, place.code, handler):
            manager = _read_manager(structs, place, handler.depth)
            if manager:
                first = min(one.start for one in handlers if one.target == handler.target)
                yield WithBlock(manager, _find_expression_end(structs, place.code, first))


def _past_nops(structs: Structs, place: Place) -> int:
    """The byte at which it is; behind a NOP, as `try` leaves one, for which the table of handlers has no entry."""
    following = range(place.lasti, place.lasti + NOPS_LIMIT * CODE_UNIT, CODE_UNIT)
    return next((at for at in following if read_name_at(structs, place.code, at) != "NOP"), place.lasti)


def _calls_exit(structs: Structs, code: int, handler: Handler) -> bool:
    """PUSH_EXC_INFO and WITH_EXCEPT_START: no other statement's handler begins so.

    A debugger writes over the first instruction of a line, so that the first of the two may not be there.
    """
    return read_name_at(structs, code, handler.target + CODE_UNIT) == START


def _read_manager(structs: Structs, place: Place, depth: int) -> int:
    if depth < 1:
        return 0
    top = read_slot(structs, place, depth - 1)
    if "LOAD_SPECIAL" not in opcodes_of(structs).names:
        return read_bound(structs, top)
    return top or read_bound(structs, read_slot(structs, place, depth - 2))  # `__exit__` below its object, or bound


def _find_expression_end(structs: Structs, code: int, first: int) -> int:
    """Where the expression ends that the block beginning at byte `first` is of; `first` where that is not known."""
    try:
        instructions = read_instructions(structs, code)
    except ReadError:
        return first
    at = find_instruction(instructions, first) or 0
    before = instructions[max(at - ENTERS_LIMIT, 0) : at]
    return next((one.start for one in reversed(before) if one.name in ENTERS), first)


def read_bound(structs: Structs, method: int) -> int:
    """The object that a method is bound to, whether of C or of Python; 0 for anything else. Raises ReadError."""
    if not method:
        return 0
    kind = type_of(structs, method)
    if kind.is_static("builtin_function_or_method"):
        return structs.number(method, "PyCFunctionObject", "m_self")
    if kind.is_static("method") or kind.is_static("instancemethod"):
        return structs.number(method, "PyMethodObject", "im_self")
    return 0
