"""Python stacks: the chain of frames of a thread (Include/cpython/frameobject.h, internal/pycore_frame.h).

To 3.10 frames are objects that hang off `tstate->frame`. From 3.11 they are records on the thread's data stack, off
`tstate->cframe->current_frame`, from 3.13 off `tstate->current_frame`; C code puts entries of its own between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from lastwords.capture.memory import ReadError
from lastwords.cpython.code import is_code, read_frame
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.source import Sources
from lastwords.cpython.structs import CODE_UNIT, Structs
from lastwords.model import Frame, Stack

FRAMES_LIMIT = 20_000


class Place(NamedTuple):
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
            stack.frames.append(read_frame(interp, place.code, place.lasti))
    except ReadError as error:
        stack.error = str(error)
    add_sources(interp, stack.frames)
    return stack


def add_sources(interp: Interpreter, frames: list[Frame]) -> None:
    """Sets the text of each frame's line, where the file is there and not newer than the process."""
    sources = Sources(interp.pid) if interp.pid is not None else None
    for frame in frames:
        if sources is not None and frame.file and frame.line:
            frame.source = sources.find_line(frame.file, frame.line)


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
    read: Callable[[Structs, int], Place | None]
    read, struct, back = read_record, "_PyInterpreterFrame", "previous"
    if not structs.has("_PyInterpreterFrame"):
        read, struct, back = read_object, "PyFrameObject", "f_back"
    seen: set[int] = set()
    while address:
        if address in seen or len(seen) >= FRAMES_LIMIT:
            raise ReadError(f"the frames come back to {address:#x}, or are more than {FRAMES_LIMIT}")
        seen.add(address)
        place = read(structs, address)
        if place is not None:
            yield place
        address = structs.number(address, struct, back)


def read_object(structs: Structs, address: int) -> Place | None:
    """The place of a frame object, to 3.10."""
    lasti = structs.signed(address, "PyFrameObject", "f_lasti") * structs.layout.formats.lasti_unit
    return Place(address, structs.number(address, "PyFrameObject", "f_code"), lasti)


def read_record(structs: Structs, address: int) -> Place | None:
    """The place of a frame record, from 3.11; None for an entry that C code put there, and for a frame not begun."""
    code = structs.object_in_slot(address, "_PyInterpreterFrame", "f_executable")
    if not is_code(structs, code):
        return None
    start = structs.at(code, "PyCodeObject", "co_code_adaptive")
    lasti = structs.number(address, "_PyInterpreterFrame", "instr_ptr") - start
    first = structs.number(code, "PyCodeObject", "_co_firsttraceable") * CODE_UNIT
    return Place(address, code, lasti) if lasti >= first else None


def read_frame_object(structs: Structs, address: int) -> int:
    """The code object of a PyFrameObject of any release, as tracebacks refer to it. Raises ReadError."""
    if structs.has("PyFrameObject", "f_code"):
        return structs.number(address, "PyFrameObject", "f_code")
    record = structs.number(address, "PyFrameObject", "f_frame")
    return structs.object_in_slot(record, "_PyInterpreterFrame", "f_executable")
