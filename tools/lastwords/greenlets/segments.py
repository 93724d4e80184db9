"""Which Python frames of a suspended greenlet one C frame of the interpreter's loop runs: see native/segments.py.

While a greenlet is suspended its frames are linked without those that C code keeps on its stack (greenlet 3, from
CPython 3.12 on: TGreenlet.cpp, `expose_frames`). Where each was linked to before is kept in its frame object.
"""

from __future__ import annotations

from lastwords.cpython.frame import Place
from lastwords.cpython.structs import Structs
from lastwords.greenlets.greenlet import GreenletState, read_frames
from lastwords.greenlets.module import Module
from lastwords.native.segments import Segment


def read_suspended(module: Module, found: GreenletState) -> list[Segment]:
    """The segments of a suspended greenlet, innermost first. Raises ReadError."""
    structs = module.interp
    walked = read_frames(module, found)
    if walked.error is not None:
        raise walked.error
    places = walked.places
    if not structs.has("_PyInterpreterFrame"):  # a C frame for each Python frame
        return [Segment(None, [place]) for place in places]
    segments = [Segment(None, [])]
    for place in places:
        segments[-1].places.append(place)
        entry = _find_entry(structs, found, place)
        if entry is not None:
            segments[-1].entry = entry or None
            segments.append(Segment(None, []))
    return [segment for segment in segments if segment.places]


def _find_entry(structs: Structs, found: GreenletState, place: Place) -> int | None:
    """Where on the C stack the loop that runs this frame was entered, if that was for this frame; 0: somewhere."""
    if structs.has("_PyInterpreterFrame", "is_entry"):
        return 0 if structs.number(place.frame, "_PyInterpreterFrame", "is_entry") else None
    frame_object = structs.number(place.frame, "_PyInterpreterFrame", "frame_obj")
    if not frame_object:
        return None
    linked = structs.pointer(structs.at(frame_object, "PyFrameObject", "_f_frame_data"))
    return linked if found.stack.start <= linked < found.stack.stop else None
