"""Places in files as text: long paths keep their end, which is what tells them apart."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import PurePath

from lastwords.frames import own_frames, python_frames
from lastwords.model import Frame

CUT = "..."
FOLDED = "<path>"  # where a directory was, after --redact
OLD_NAMES = frozenset(["Queue", "SocketServer", "BaseHTTPServer", "commands"])  # modules of CPython 2.7
_VERSION = re.compile(r"(lib-)?python\d\.\d+")
_INSTALLED = frozenset(["site-packages", "dist-packages"])


def shorten_path(path: str, room: int) -> str:
    """The path in at most `room` characters: as many of its last parts as fit, at least the file's name."""
    if len(path) <= room or "/" not in path.strip("/"):
        return path
    parts = path.split("/")
    kept = parts.pop()
    while parts and len(CUT) + len(parts[-1]) + len(kept) + 2 <= room:
        kept = f"{parts.pop()}/{kept}"
    return f"{CUT}/{kept}"


def is_standard(path: str) -> bool:
    """Whether the path is of a file of Python's standard library, or of its frozen part."""
    return path.startswith("<frozen ") or bool(standard_part(path))


def standard_part(path: str) -> str:
    """`asyncio/events.py` of a file of the standard library, also where its directory is hidden; "" of another."""
    parts = PurePath(path).parts
    for at, part in enumerate(parts[:-1]):
        if part == FOLDED or (_VERSION.fullmatch(part) and not _INSTALLED & set(parts)):
            is_ours = PurePath(parts[at + 1]).stem in sys.stdlib_module_names | OLD_NAMES
            return "/".join(parts[at + 1 :]) if is_ours else ""
    return ""


def own_frame(stack: Sequence[Frame]) -> Frame | None:
    """The innermost Python frame outside the standard library and gevent; where there is none, the innermost."""
    frames = python_frames(list(stack))
    return next((one for one in own_frames(frames) if not is_standard(one.file or "")), next(iter(frames), None))


def short_place(file: str | None, line: int | None) -> str:
    """`app.py:3`: the file's name alone, where a whole path would only be in the way."""
    return f"{PurePath(file).name}:{line}" if file and line else ""
