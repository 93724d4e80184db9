"""Python stacks of one moment, many of them alike."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from lastwords.capture.memory import ReadError
from lastwords.cpython.frame import Place, add_sources, read_frame_at
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locals import read_locals
from lastwords.model import Frame


class Stacks:
    """Reads stacks; a frame that several have is made once, and is part of all of them."""

    def __init__(self, interp: Interpreter) -> None:
        self.interp = interp
        struct = "_PyInterpreterFrame" if interp.has("_PyInterpreterFrame") else "PyFrameObject"
        self._globals = interp.layout.offset(struct, "f_globals")
        self._frames: dict[tuple[int, int, int], Frame] = {}

    def read(self, places: Iterable[Place], *, with_locals: bool) -> tuple[list[Frame], str | None]:
        """The frames at these places, and what stopped the reading."""
        frames: list[Frame] = []
        try:
            for place in places:
                frame = self._frame(place)
                if with_locals:
                    frame = replace(frame, locals=read_locals(self.interp, place))
                frames.append(frame)
        except ReadError as error:
            return frames, str(error)
        return frames, None

    def _frame(self, place: Place) -> Frame:
        key = (place.code, place.lasti, self.interp.pointer(place.frame + self._globals))
        known = self._frames.get(key)
        if known is None:
            known = self._frames[key] = read_frame_at(self.interp, place)
            add_sources(self.interp, [known])
        return known
