"""Whose code a frame is: pure functions of the model's frames, for diagnoses and reports alike."""

from __future__ import annotations

from pathlib import PurePath

from lastwords.model import Frame

PATCHER = "gevent"


def python_frames(stack: list[Frame]) -> list[Frame]:
    """The Python frames of a stack that has C frames too."""
    return [frame for frame in stack if frame.kind == "python"]


def is_patchers(frame: Frame) -> bool:
    """Whether the frame is gevent's own code: by its module's name where that was read, else by its directory."""
    if frame.module is not None:
        return frame.module.split(".")[0] == PATCHER
    return PATCHER in PurePath(frame.file or "").parent.parts[-2:]


def own_frames(frames: list[Frame]) -> list[Frame]:
    """The frames outside gevent, innermost first; all of them where there are none but gevent's."""
    return [frame for frame in frames if not is_patchers(frame)] or frames


def own_frame(frames: list[Frame]) -> Frame | None:
    """The innermost frame outside gevent; where there is none but gevent's, the innermost."""
    return next(iter(own_frames(frames)), None)
