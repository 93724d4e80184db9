"""Code objects (Include/cpython/code.h): what a frame is called and where it stands."""

from __future__ import annotations

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.lines import Position, find_position
from lastwords.cpython.structs import Structs
from lastwords.cpython.text import read_bytes_prefix, read_text
from lastwords.cpython.types import type_of
from lastwords.model import Frame

TABLE_LIMIT = 1 << 20  # bytes of a line table
OPTIMIZED = 1  # co_flags, CO_OPTIMIZED: a function's, whose names are all in slots
NAME_LIMIT = 1 << 14  # characters of a name or of a file's name


class Code(msgspec.Struct):
    """A code object as it stood when it was first asked for; `positions` by the byte of the instruction."""

    function: str
    qualname: str | None
    file: str
    first_line: int
    table: bytes
    positions: dict[int, Position] = {}


def is_code(structs: Structs, address: int) -> bool:
    """Whether the object is a code object."""
    return bool(address) and type_of(structs, address).is_static("code")


def find_function_code(structs: Structs, address: int) -> int | None:
    """The code object of a Python function or of a method of one; None for anything else. Raises ReadError."""
    if type_of(structs, address).name in ("instancemethod", "method"):
        address = structs.number(address, "PyMethodObject", "im_func")
    if not address or not type_of(structs, address).is_static("function"):
        return None
    return structs.number(address, "PyFunctionObject", "func_code")


def read_frame(structs: Structs, code: int, lasti: int, line: int | None = None) -> Frame:
    """The code's name and file, and the line of the instruction at byte `lasti` (or `line` where that is known).

    Raises ReadError.
    """
    known = read_code(structs, code)
    if lasti not in known.positions:
        known.positions[lasti] = find_position(structs.layout.formats.lines, known.table, known.first_line, lasti)
    found, column = known.positions[lasti]
    return Frame(
        kind="python",
        function=known.function,
        qualname=known.qualname,
        file=known.file,
        line=found if line is None else line,
        column=column if line is None or line == found else None,
    )


def read_code(structs: Structs, address: int) -> Code:
    """The code object at `address`, read once in a moment. Raises ReadError."""
    known = structs.codes.get(address)
    if not isinstance(known, Code):
        known = structs.codes[address] = _read_code(structs, address)
    return known


def _read_code(structs: Structs, address: int) -> Code:
    if not is_code(structs, address):
        raise ReadError(f"the object at {address:#x} is no code object")
    return Code(
        function=_name(structs, address, "co_name"),
        qualname=_name(structs, address, "co_qualname") if structs.has("PyCodeObject", "co_qualname") else None,
        file=_name(structs, address, "co_filename"),
        first_line=structs.signed(address, "PyCodeObject", "co_firstlineno"),
        table=_read_table(structs, address),
    )


def _name(structs: Structs, code: int, field: str) -> str:
    return read_text(structs, structs.number(code, "PyCodeObject", field), NAME_LIMIT)


def _read_table(structs: Structs, code: int) -> bytes:
    field = "co_linetable" if structs.has("PyCodeObject", "co_linetable") else "co_lnotab"
    address = structs.number(code, "PyCodeObject", field)
    table, is_whole = read_bytes_prefix(structs, address, TABLE_LIMIT)
    if not is_whole:
        raise ReadError(f"the line table at {address:#x} is longer than {TABLE_LIMIT} bytes")
    return table
