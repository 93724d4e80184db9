"""Tracebacks (Include/cpython/traceback.h): where an exception came by."""

from __future__ import annotations

from lastwords.capture.memory import ReadError
from lastwords.cpython.code import read_frame
from lastwords.cpython.frame import read_frame_object
from lastwords.cpython.structs import Structs
from lastwords.cpython.types import type_of
from lastwords.model import Frame

ENTRIES_LIMIT = 5_000
NOT_COMPUTED = -1  # tb_lineno from 3.12 on: to be had from tb_lasti


def read_traceback(structs: Structs, address: int) -> tuple[list[Frame], str | None]:
    """The frames of a traceback, innermost first, and what stopped the reading."""
    frames: list[Frame] = []
    problem = None
    try:
        for entry in _follow(structs, address):
            frames.append(_read_entry(structs, entry))
    except ReadError as error:
        problem = str(error)
    return frames[::-1], problem


def _follow(structs: Structs, address: int) -> list[int]:
    entries: dict[int, None] = {}
    while address:
        if address in entries or len(entries) >= ENTRIES_LIMIT:
            raise ReadError(f"the traceback comes back to {address:#x}, or has more than {ENTRIES_LIMIT} entries")
        if not type_of(structs, address).is_static("traceback"):
            raise ReadError(f"the object at {address:#x} is no traceback")
        entries[address] = None
        address = structs.number(address, "PyTracebackObject", "tb_next")
    return list(entries)


def _read_entry(structs: Structs, address: int) -> Frame:
    code = read_frame_object(structs, structs.number(address, "PyTracebackObject", "tb_frame"))
    lasti = structs.signed(address, "PyTracebackObject", "tb_lasti")
    line = structs.signed(address, "PyTracebackObject", "tb_lineno")
    return read_frame(structs, code, lasti, None if line == NOT_COMPUTED else line)
