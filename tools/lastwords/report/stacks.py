"""Stacks of Python and C frames as text: outermost first, as in Python's own tracebacks; C frames begin with `C:`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from lastwords.model import Frame, Value
from lastwords.report.clean import clean
from lastwords.report.layout import Page, clip, shorten
from lastwords.report.places import shorten_path

MOST_FRAMES = 60
FILE = '    File "'
LONGEST_LOCAL = 200
LONGEST_NAME = 60  # of a C++ function
ABI_TAG = re.compile(r"\.(cpython-\w[\w-]*|abi3)(?=\.so$)")


def format_stack(page: Page, frames: Sequence[Frame]) -> Iterator[str]:
    """The frames that are to be shown, the innermost last; each Python frame with its locals, where they were read."""
    shown = shown_frames(page, frames)
    limit = len(shown) if page.native == "all" else MOST_FRAMES
    for frame in reversed(shown[:limit]):
        yield from format_frame(page, frame)
    if len(shown) > limit:
        yield f"    ... and {len(shown) - limit} outer frames, first"


def shown_frames(page: Page, frames: Sequence[Frame]) -> list[Frame]:
    """Those that the page wants: without C frames that are only machinery, or without any, or all."""
    if page.native == "all":
        return list(frames)
    return [frame for frame in frames if frame.kind == "python" or (page.native == "fold" and not frame.plumbing)]


def count_folded(page: Page, frames: Sequence[Frame]) -> int:
    """How many C frames are not shown because they are machinery."""
    return sum(frame.plumbing for frame in frames) if page.native == "fold" else 0


def format_frame(page: Page, frame: Frame) -> Iterator[str]:
    """One frame of either kind."""
    if frame.kind == "native":
        text = f"C: {describe_native(page, frame)}"
        yield from [clean(f"    {text}")] if page.details else page.wrap(text, "    ", hanging="      ")
        return
    yield from format_line(page, frame)
    for name, value in (frame.locals or {}).items():
        yield f"        {clean(name)} = {clean(_local(value))}"


def format_line(page: Page, frame: Frame) -> Iterator[str]:
    """A Python frame as in Python's own tracebacks; a long path keeps its end, with details it is whole."""
    tail = clean(f'", line {frame.line or "?"}, in {frame.function or "?"}')
    room = page.width - len(tail) - len(FILE)
    path = clean(frame.file or "?")
    yield f"{FILE}{path if page.details else shorten_path(path, room)}{tail}"
    if frame.source:
        source = clean(shorten(frame.source))
        yield f"      {source if page.details else clip(source, page.width - 6)}"


def describe_native(page: Page, frame: Frame) -> str:
    """`list_sort (listobject.c:2471)`, `sem_clockwait (libc.so.6)`, `_queue.so+0x1a2b`, `0x7f12 (no file)`."""
    library = PurePath(frame.library).name if frame.library else "no file"
    library = library if page.details else ABI_TAG.sub("", library)
    line = f":{frame.line}" if frame.line else ""
    place = f"{PurePath(frame.file).name}{line}" if frame.file else library
    name = frame.function if page.details else shorten_name(frame.function or "")
    if not name and frame.library and frame.offset is not None:
        return f"{library}+{frame.offset:#x}{' (guessed)' if frame.guessed else ''}"
    return f"{name or hexadecimal(frame.address)} ({place}{', guessed' if frame.guessed else ''})"


def hexadecimal(address: int | None) -> str:
    """An address, or `?`."""
    return "?" if address is None else f"{address:#x}"


def shorten_name(name: str) -> str:
    """A function's name, cut where a C++ template made it long."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def _local(value: Value) -> str:
    return shorten(value.repr, LONGEST_LOCAL) if value.repr is not None else f"({value.missing or 'not read'})"
