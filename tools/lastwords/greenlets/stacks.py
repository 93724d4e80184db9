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
        struct = "_PyInterpreterFrame" if self.interp.has("_PyInterpreterFrame") else "PyFrameObject"
        key = (place.code, place.lasti, self.interp.number(place.frame, struct, "f_globals"))
        if key not in self._frames:
            self._frames[key] = self.with_sources([read_frame_at(self.interp, place)])[0]
        return self._frames[key]

    def with_sources(self, frames: list[Frame]) -> list[Frame]:
        """The same frames, with the text of their lines."""
        add_sources(self.interp, frames)
        return frames
