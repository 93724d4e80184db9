"""Line and column of an instruction, out of the table in its code object.

lnotab (to 3.9): Objects/lnotab_notes.txt. linetable (3.10): PEP 626. locations (3.11): Objects/locations.md.
"""

from __future__ import annotations

from collections.abc import Iterator

Position = tuple[int | None, int | None]
NO_LINE = -128
CODE_UNIT = 2
LONG_FORM, NO_COLUMN, NO_LOCATION = 14, 13, 15
ONE_LINE = range(10, 13)


def find_position(form: str, table: bytes, first_line: int, lasti: int) -> Position:
    """(line, column) at byte `lasti`: lines from 1, columns in UTF-8 bytes from 0; None where unknown."""
    if form == "locations":
        return _find_location(table, first_line, max(lasti, 0) // CODE_UNIT)
    if form == "linetable":
        return _find_pep626(table, first_line, max(lasti, 0)), None
    return _find_lnotab(table, first_line, lasti, is_signed=form == "lnotab"), None


def _find_lnotab(table: bytes, line: int, lasti: int, is_signed: bool) -> int:
    address = 0
    for at in range(0, len(table) - 1, 2):
        address += table[at]
        if address > lasti:
            break
        delta = table[at + 1]
        line += delta - 256 if is_signed and delta >= 128 else delta
    return line


def _find_pep626(table: bytes, line: int, lasti: int) -> int | None:
    end = 0
    for at in range(0, len(table) - 1, 2):
        end += table[at]
        delta = int.from_bytes(table[at + 1 : at + 2], signed=True)
        if delta != NO_LINE:
            line += delta
        if lasti < end:
            return line if delta != NO_LINE else None
    return None


def _find_location(table: bytes, line: int, unit: int) -> Position:
    data = iter(table)
    end = 0
    for head in data:
        if not head & 128:
            return None, None  # not the start of an entry: no such table
        code = head >> 3 & 15
        end += (head & 7) + 1
        delta, column = _read_entry(code, data)
        line += delta
        if unit < end:
            return (None, None) if code == NO_LOCATION else (line, column)
    return None, None


def _read_entry(code: int, data: Iterator[int]) -> tuple[int, int | None]:
    """(line delta, column) of one entry, whose first byte has been taken."""
    if code == NO_LOCATION:
        return 0, None
    if code == LONG_FORM:
        delta = _signed(_varint(data))
        _varint(data)
        column = _varint(data)
        _varint(data)
        return delta, column - 1 if column else None
    if code == NO_COLUMN:
        return _signed(_varint(data)), None
    if code in ONE_LINE:
        column = next(data, 0)
        next(data, 0)
        return code - ONE_LINE.start, column
    return 0, code << 3 | next(data, 0) >> 4 & 7


def _varint(data: Iterator[int]) -> int:
    """Six bits a byte, the lowest first; bit 6 says that more follow."""
    value = shift = 0
    for byte in data:
        value |= (byte & 63) << shift
        shift += 6
        if not byte & 64:
            break
    return value


def _signed(value: int) -> int:
    return -(value >> 1) if value & 1 else value >> 1
