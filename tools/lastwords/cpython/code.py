"""Code objects (Include/cpython/code.h): what a frame is called and where it stands."""

from __future__ import annotations

from lastwords.capture.memory import ReadError
from lastwords.cpython.lines import find_position
from lastwords.cpython.structs import Structs
from lastwords.cpython.text import read_bytes_prefix, read_text
from lastwords.cpython.types import type_of
from lastwords.model import Frame

TABLE_LIMIT = 1 << 20  # bytes of a line table
NAME_LIMIT = 1 << 14  # characters of a name or of a file's name


def is_code(structs: Structs, address: int) -> bool:
    """Whether the object is a code object."""
    return bool(address) and type_of(structs, address).is_static("code")


def read_frame(structs: Structs, code: int, lasti: int, line: int | None = None) -> Frame:
    """The code's name and file, and the line of the instruction at byte `lasti` (or `line` where that is known).

    Raises ReadError.
    """
    if not is_code(structs, code):
        raise ReadError(f"the object at {code:#x} is no code object")
    found, column = _read_position(structs, code, lasti)
    return Frame(
        kind="python",
        function=_name(structs, code, "co_name"),
        qualname=_name(structs, code, "co_qualname") if structs.has("PyCodeObject", "co_qualname") else None,
        file=_name(structs, code, "co_filename"),
        line=found if line is None else line,
        column=column if line is None or line == found else None,
    )


def _name(structs: Structs, code: int, field: str) -> str:
    return read_text(structs, structs.number(code, "PyCodeObject", field), NAME_LIMIT)


def _read_position(structs: Structs, code: int, lasti: int) -> tuple[int | None, int | None]:
    field = "co_linetable" if structs.has("PyCodeObject", "co_linetable") else "co_lnotab"
    address = structs.number(code, "PyCodeObject", field)
    table, is_whole = read_bytes_prefix(structs, address, TABLE_LIMIT)
    if not is_whole:
        raise ReadError(f"the line table at {address:#x} is longer than {TABLE_LIMIT} bytes")
    first_line = structs.signed(code, "PyCodeObject", "co_firstlineno")
    return find_position(structs.layout.formats.lines, table, first_line, lasti)
