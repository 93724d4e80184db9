"""Python stacks of one moment, many of them alike."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from lastwords.capture.memory import ReadError
from lastwords.cpython.frame import Place, add_sources, read_frame_at
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locals import read_locals
from lastwords.greenlets.walk import Stand, Walked
from lastwords.model import Frame


class Stacks:
    """Reads stacks; a frame that several have is made once, and is part of all of them."""

    def __init__(self, interp: Interpreter) -> None:
        self.interp = interp
        struct = "_PyInterpreterFrame" if interp.has("_PyInterpreterFrame") else "PyFrameObject"
        self._globals = interp.layout.offset(struct, "f_globals")
        self._frames: dict[Stand, Frame] = {}
        self._alike: dict[int, tuple[list[Frame], str | None]] = {}  # by the numbers of what walk.py calls alike

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

    def read_walked(self, walked: Walked, *, with_locals: bool) -> tuple[list[Frame], str | None]:
        """The same of a suspended greenlet; the frames of those that stand alike are put together once."""
        if with_locals:
            frames, error = self.read(walked.places, with_locals=True)
        else:
            number = walked.alike.number
            if number not in self._alike:
                self._alike[number] = self._read_alike(walked)
            known, error = self._alike[number]
            frames = list(known)
        return frames, error or (str(walked.error) if walked.error else None)

    def _read_alike(self, walked: Walked) -> tuple[list[Frame], str | None]:
        frames: list[Frame] = []
        try:
            for stand, place in zip(walked.alike.stands, walked.places, strict=True):
                frames.append(self._frame_of(stand, place))
        except ReadError as error:
            return frames, str(error)
        return frames, None

    def _frame(self, place: Place) -> Frame:
        return self._frame_of((place.code, place.lasti, self.interp.pointer(place.frame + self._globals)), place)

    def _frame_of(self, key: Stand, place: Place) -> Frame:
        known = self._frames.get(key)
        if known is None:
            known = self._frames[key] = read_frame_at(self.interp, place)
            add_sources(self.interp, [known])
        return known
