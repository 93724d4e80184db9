"""Too little memory: how it shows, and how it is said with next to none."""

from __future__ import annotations

import errno
import os

from lastwords.errors import ExitCode

SLACK = 1 << 20  # bytes: memory is had in pieces, and a library is mapped at multiples of more than a page
ARENA = 4 << 20

_room = bytearray(4096)  # made while there is memory
_reserve = [bytearray(64 << 10)]


def is_for_memory(error: Exception) -> bool:
    """Whether it says that there was no memory, in the words of a system call or of the loader of libraries.

    CPython makes a SystemError of a MemoryError for which it has no memory.
    """
    if isinstance(error, ImportError) and error.path and os.access(error.path, os.R_OK):
        return _is_near_limit(os.stat(error.path).st_size + SLACK)  # noqa: PTH116 - pathlib loads slowly
    if isinstance(error, SystemError):
        return _is_near_limit(ARENA)
    return isinstance(error, OSError) and error.errno == errno.ENOMEM


def _is_near_limit(size: int) -> bool:
    """Whether so many bytes more are above it."""
    limit = _read_limit()
    pages = int(_read("/proc/self/statm").split()[0])
    return limit is not None and pages * os.sysconf("SC_PAGESIZE") + size > limit


def say_memory() -> int:
    """The exit code, once it is said."""
    _reserve.clear()
    limit = _read_limit()
    if limit is not None:
        fact = f"its memory is limited to {limit >> 20} MB (ulimit -v), which is too little"
        mend = "ulimit -v unlimited"
    else:
        fact, mend = "the machine has too little memory left", "free -m"
    os.write(2, f"lastwords: {fact}.\n  {mend}\n".encode())
    return int(ExitCode.SETUP)


def _read_limit() -> int | None:
    """Bytes; None: there is none."""
    words = _read("/proc/self/limits").split("Max address space")[-1].split()
    return int(words[0]) if words and words[0].isdecimal() else None


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "0"
    try:
        return _room[: os.readv(fd, [_room])].decode()
    finally:
        os.close(fd)
