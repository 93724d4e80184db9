"""Locks on files, as /proc/locks lists them: who waits, and for whom.

A line is "3: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF"; who waits for it follows, with the same number and an
arrow: "3: -> FLOCK ..." (fs/locks.c, lock_get_status).
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from lastwords.capture.procfs import PROC

LIMIT = 8 << 20
_LINE = (
    r"(?P<number>\d+):\s*(?P<arrow>(?:->\s*)?)(?P<kind>\S+)\s+\S+\s+(?P<mode>\S+)\s+(?P<pid>-?\d+)"
    r" [0-9a-f]+:[0-9a-f]+:(?P<inode>\d+) .*"
)


class FileLock(msgspec.Struct, frozen=True):
    """A lock or a request for one. kind: "FLOCK" (flock), "POSIX" (fcntl), "OFDLCK"; pid: -1 where nobody is named."""

    number: int
    waits: bool
    kind: str
    mode: str
    pid: int
    inode: int


def read_locks(proc: Path = PROC) -> list[FileLock]:
    """All locks of our pid namespace, and the requests behind them; none where /proc has no list."""
    try:
        with (proc / "locks").open(encoding="ascii", errors="replace") as file:
            lines = file.read(LIMIT).splitlines()
    except OSError:
        return []
    return [_parse(found) for line in lines if (found := re.fullmatch(_LINE, line))]


def _parse(found: re.Match[str]) -> FileLock:
    return FileLock(
        number=int(found["number"]),
        waits=bool(found["arrow"]),
        kind=found["kind"],
        mode=found["mode"],
        pid=int(found["pid"]),
        inode=int(found["inode"]),
    )


def find_blockers(pid: int, kind: str, inode: int | None, proc: Path = PROC) -> list[FileLock]:
    """The locks that a request of process `pid` for the file with this inode waits for."""
    locks = read_locks(proc)
    numbers = {
        one.number
        for one in locks
        if one.waits and one.kind == kind and one.inode == inode and one.pid in (pid, -1 if kind == "OFDLCK" else pid)
    }
    return [one for one in locks if one.number in numbers and not one.waits]
