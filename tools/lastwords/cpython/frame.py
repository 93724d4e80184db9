"""Python stacks: the chain of frames of a thread (Include/cpython/frameobject.h, internal/pycore_frame.h).

To 3.10 frames are objects that hang off `tstate->frame`. From 3.11 they are records on the thread's data stack, off
`tstate->cframe->current_frame`, from 3.13 off `tstate->current_frame`; C code puts entries of its own between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.code import is_code, read_frame
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import read_module_name
from lastwords.cpython.structs import CODE_UNIT, Start, Structs
from lastwords.model import Frame, Stack

FRAMES_LIMIT = 20_000
SIGN = 1 << 31  # of f_lasti, an int


class Place(msgspec.Struct, frozen=True):
    """Where a frame stands: its address, its code object, and the byte of its current instruction."""

    frame: int
    code: int
    lasti: int


def read_stack(interp: Interpreter, tstate: int) -> Stack:
    """The Python frames of a thread, innermost first. What stopped the reading is in `error`."""
    return read_frames(interp, read_places(interp, tstate))


def read_frames(interp: Interpreter, places: Iterable[Place]) -> Stack:
    """The frames at these places. What stopped the reading is in `error`."""
    stack = Stack(frames=[], error=None)
    try:
        for place in places:
            stack.frames.append(read_frame_at(interp, place))
    except ReadError as error:
        stack.error = str(error)
    add_sources(interp, stack.frames)
    return stack


def read_frame_at(structs: Structs, place: Place) -> Frame:
    """The frame that stands there, with the name of its module, without its source. Raises ReadError."""
    frame = read_frame(structs, place.code, place.lasti)
    struct = "_PyInterpreterFrame" if structs.has("_PyInterpreterFrame") else "PyFrameObject"
    frame.module = read_module_name(structs, structs.number(place.frame, struct, "f_globals"))
    return frame


def add_sources(interp: Interpreter, frames: list[Frame]) -> None:
    """Sets the text of each frame's line, where the file is there and not newer than the process."""
    if interp.sources is None:
        return
    for frame in frames:
        if frame.file and frame.line:
            frame.source = interp.sources.find_line(frame.file, frame.line)


def read_places(structs: Structs, tstate: int) -> Iterator[Place]:
    """The places of the frames of a thread, innermost first. Raises ReadError."""
    address = find_top(structs, tstate)
    return follow(structs, address)


def find_top(structs: Structs, tstate: int) -> int:
    """The innermost frame of a thread: a PyFrameObject or an _PyInterpreterFrame; 0 for none."""
    if structs.has("PyThreadState", "frame"):
        return structs.number(tstate, "PyThreadState", "frame")
    if structs.has("PyThreadState", "current_frame"):
        return structs.number(tstate, "PyThreadState", "current_frame")
    cframe = structs.number(tstate, "PyThreadState", "cframe")
    return structs.number(cframe, "_PyCFrame", "current_frame") if cframe else 0


def follow(structs: Structs, address: int) -> Iterator[Place]:
    """The places of the frame at `address` and of those that called it. Raises ReadError."""
    return (place for _, place in walk(structs, address) if place is not None)


def walk(structs: Structs, address: int) -> Iterator[tuple[int, Place | None]]:
    """The frame at `address` and those that called it, each with its place if it has one. Raises ReadError."""
    read = read_record if structs.has("_PyInterpreterFrame") else read_object
    seen: set[int] = set()
    while address:
        if address in seen or len(seen) >= FRAMES_LIMIT:
            raise ReadError(f"the frames come back to {address:#x}, or are more than {FRAMES_LIMIT}")
        seen.add(address)
        place, back = read(structs, address)
        yield address, place
        address = back


def is_entry(structs: Structs, address: int) -> bool:
    """Whether a record without a place is where C code began to run Python, from 3.13 on: it has no code object."""
    code = structs.object_in_slot(address, "_PyInterpreterFrame", "f_executable")
    return structs.starts.get(code) is None


def read_object(structs: Structs, address: int) -> tuple[Place | None, int]:
    """The place of a frame object, to 3.10, and the frame that called it."""
    back, code, lasti = structs.numbers(address, "PyFrameObject", "f_back", "f_code", "f_lasti")
    lasti = (lasti ^ SIGN) - SIGN  # -1 before the first instruction
    return Place(address, code, lasti * structs.layout.formats.lasti_unit), back


def read_record(structs: Structs, address: int) -> tuple[Place | None, int]:
    """The place of a frame record, from 3.11, and the one before it.

    No place for an entry that C code put there, and for a frame that has not begun.
    """
    word, previous, pointer = structs.numbers(address, "_PyInterpreterFrame", "f_executable", "previous", "instr_ptr")
    code = word & structs.layout.formats.pointer_mask
    start = structs.starts[code] if code in structs.starts else find_start(structs, address, code)
    if start is None or pointer < start.traceable:
        return None, previous
    return Place(address, code, pointer - start.first), previous


def find_start(structs: Structs, frame: int, code: int) -> Start | None:
    """Where the code of the frame at `frame` starts, known from then on; None for an entry of C. Raises ReadError."""
    if not code:  # C code's entries have None there
        raise ReadError(f"the frame at {frame:#x} has no code object: it was overwritten, or not written")
    structs.starts[code] = _read_start(structs, code)
    return structs.starts[code]


def _read_start(structs: Structs, code: int) -> Start | None:
    if not is_code(structs, code):
        return None
    first = structs.at(code, "PyCodeObject", "co_code_adaptive")
    return Start(first, first + structs.number(code, "PyCodeObject", "_co_firsttraceable") * CODE_UNIT)


def read_frame_object(structs: Structs, address: int) -> int:
    """The code object of a PyFrameObject of any release, as tracebacks refer to it. Raises ReadError."""
    if structs.has("PyFrameObject", "f_code"):
        return structs.number(address, "PyFrameObject", "f_code")
    record = structs.number(address, "PyFrameObject", "f_frame")
    return structs.object_in_slot(record, "_PyInterpreterFrame", "f_executable")
