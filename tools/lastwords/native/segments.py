"""Which Python frames one call of the interpreter's C function (`_PyEval_EvalFrameDefault`) runs, and where that is.

From 3.11 on, Python code that calls Python code stays in one C function. What ties such a run of frames to its C frame
lies itself on the C stack, so the two are matched by address:

3.11, 3.12   `_PyCFrame`, off `tstate->cframe`: `current_frame` is the run's innermost frame, `previous` the next run's
3.13 on      an `_PyInterpreterFrame` without a code object, the last of each run (ceval.c: `entry_frame`, `entry`)
to 3.10      each Python frame has a C frame of its own, which has the PyFrameObject's address in a register or a slot
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.frame import FRAMES_LIMIT, Place, find_top, is_entry, walk
from lastwords.cpython.structs import Structs


class Segment(msgspec.Struct):
    """Python frames, innermost first, that one C frame runs: the one in which `entry` lies; None: no address tells."""

    entry: int | None
    places: list[Place]


def read_segments(structs: Structs, tstate: int) -> list[Segment]:
    """All of a thread, innermost first, as far as they can be read; why they end early, `read_places` says."""
    if structs.has("PyThreadState", "cframe") and structs.has("_PyCFrame", "previous"):
        return _as_far_as(lambda: _follow_cframes(structs, structs.number(tstate, "PyThreadState", "cframe")))
    return _as_far_as(lambda: follow_segments(structs, find_top(structs, tstate)))


def follow_segments(structs: Structs, top: int) -> Iterator[Segment]:
    """Those of the frame at `top` and of the frames that called it. Raises ReadError, after what could be read."""
    if not structs.has("_PyInterpreterFrame"):
        yield from (Segment(None, [place]) for _, place in walk(structs, top) if place is not None)
        return
    segment = Segment(None, [])
    try:
        for address, place in walk(structs, top):
            if place is not None:
                segment.places.append(place)
            elif is_entry(structs, address):
                segment.entry = address
                yield segment
                segment = Segment(None, [])
    except ReadError:
        yield segment
        raise
    if segment.places:
        yield segment


def _follow_cframes(structs: Structs, cframe: int) -> Iterator[Segment]:
    seen: set[int] = set()
    while cframe and cframe not in seen and len(seen) < FRAMES_LIMIT:
        seen.add(cframe)
        top, previous = structs.numbers(cframe, "_PyCFrame", "current_frame", "previous")
        end = structs.number(previous, "_PyCFrame", "current_frame") if previous else 0
        segment = Segment(cframe, [])
        try:
            for address, place in walk(structs, top):
                if address == end:
                    break
                segment.places += [place] if place is not None else []
        except ReadError:
            yield segment
            raise
        if segment.places:
            yield segment
        cframe = previous


def _as_far_as(read: Callable[[], Iterator[Segment]]) -> list[Segment]:
    found: list[Segment] = []
    with suppress(ReadError):
        found.extend(read())
    return found
