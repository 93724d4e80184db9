"""The text of a line of the target's program, as the target has the file.

A file that is newer than the process says nothing about what runs: it is left out. So is what its own root does not
have, although ours may: see target_paths.py.
"""

from __future__ import annotations

import io
import os
import stat
import tokenize
from functools import cached_property
from pathlib import Path

from lastwords.capture import procfs
from lastwords.capture.target_paths import is_root_ours, open_path, reopen

FILE_LIMIT = 8 << 20
CLOCK_STEP = 0.05  # seconds: the start time is good to 10 ms, a file's mtime to the kernel's tick
KNOWN_LIMIT = 256

_known: dict[tuple[int, int, int], list[str]] = {}


class Sources:
    """The source files of one process at one moment: each is looked at once."""

    def __init__(self, pid: int, proc: Path = procfs.PROC) -> None:
        self.pid = pid
        self.proc = proc
        self._seen: dict[str, list[str] | None] = {}

    @cached_property
    def started(self) -> float:
        """When the process was started; 0 where that is not to be had: then no file is older."""
        try:
            return procfs.read_start_time(self.pid, self.proc)
        except (OSError, procfs.ProcessGoneError, ValueError, IndexError):
            return 0.0

    def find_line(self, file: str, line: int) -> str | None:
        """The line without its indentation; None where the file is missing, newer, or has no such line."""
        if file not in self._seen:
            self._seen[file] = None if file.startswith("<") or "\0" in file else self._find_lines(file)
        lines = self._seen[file]
        return lines[line - 1].strip() if lines and 0 < line <= len(lines) else None

    def _find_lines(self, file: str) -> list[str] | None:
        directory = self.proc / str(self.pid)
        try:
            if self._shares_root:  # the kernel's own way is the short one
                base = "root" if file.startswith("/") else "cwd"
                return self._read_known(f"{directory}/{base}/{file}")
            with open_path(directory, file) as descriptor:
                return self._read_known(reopen(descriptor))
        except (OSError, ValueError):
            return None

    @cached_property
    def _shares_root(self) -> bool:
        return is_root_ours(self.proc / str(self.pid))

    def _read_known(self, path: str) -> list[str] | None:
        """The lines of a file, once read; None where it is not one to be shown. Raises OSError."""
        found = os.stat(path)  # noqa: PTH116 - Path() would drop nothing here, and this is the hot way
        if not self._is_usable(found):
            return None
        key = (found.st_dev, found.st_ino, found.st_mtime_ns)
        if key not in _known:
            if len(_known) >= KNOWN_LIMIT:
                _known.clear()
            _known[key] = read_lines(path)
        return _known[key]

    def _is_usable(self, found: os.stat_result) -> bool:
        is_old = found.st_mtime <= self.started + CLOCK_STEP
        return stat.S_ISREG(found.st_mode) and found.st_size <= FILE_LIMIT and is_old


def read_lines(path: str) -> list[str]:
    """The lines of a Python file, decoded as its first lines say; what cannot be decoded is shown escaped."""
    data = Path(path).read_bytes()
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    except (SyntaxError, LookupError, UnicodeDecodeError):
        encoding = "utf-8"
    text = data.decode(encoding, "backslashreplace")
    return io.StringIO(text, newline=None).read().split("\n")
