"""Who else has it open: one walk over the descriptors of all processes that we may look at."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import msgspec

from lastwords.capture import procfs
from lastwords.capture.procfs import PROC

SECONDS = 0.5  # for all processes; what is not seen by then is said to be unseen
DESCRIPTORS_LIMIT = 1_000_000
SHARED = ("pipe:[", "socket:[", "/")  # what two processes can have in common


class Holder(msgspec.Struct, frozen=True):
    """A process that has something open, and as which descriptors."""

    pid: int
    fds: tuple[int, ...]


class OpenFiles:
    """Descriptors of every process, by what they are open on; looked at when first asked for.

    `unseen` counts the processes whose descriptors we may not see, or had no time for.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._unseen = 0

    @property
    def unseen(self) -> int:
        """How many processes could not be looked at."""
        return self._unseen if self._holders is not None else 0

    def holders(self, target: str) -> list[Holder]:
        """The processes that have `target` ("pipe:[12]", "socket:[34]", a path) open, by rising pid."""
        return [Holder(pid, tuple(fds)) for pid, fds in sorted(self._holders.get(target, {}).items())]

    @cached_property
    def _holders(self) -> dict[str, dict[int, list[int]]]:
        found: dict[str, dict[int, list[int]]] = {}
        deadline = time.monotonic() + SECONDS
        count = 0
        for pid in list_pids(self._proc):
            if time.monotonic() > deadline or count > DESCRIPTORS_LIMIT:
                self._unseen += 1
                continue
            for fd, target in self._links(pid):
                count += 1
                if target.startswith(SHARED):
                    found.setdefault(target, {}).setdefault(pid, []).append(fd)
        return found

    def _links(self, pid: int) -> Iterator[tuple[int, str]]:
        directory = f"{self._proc}/{pid}/fd"
        try:
            names = os.listdir(directory)  # noqa: PTH208 - Path takes twice the time, and there are thousands
        except PermissionError:
            self._unseen += 1
            return
        except OSError:  # it has ended
            return
        for name in names:
            try:
                yield int(name), os.readlink(f"{directory}/{name}")  # noqa: PTH115 - as above
            except OSError:
                continue


def list_pids(proc: Path = PROC) -> list[int]:
    """The processes of /proc, rising."""
    return sorted(int(name) for name in os.listdir(proc) if name.isdecimal())  # noqa: PTH208 - as above


def describe_process(pid: int, proc: Path = PROC) -> str:
    """ "process 1234 (python worker.py)": with what it was started as, cut where that is long."""
    try:
        argv = procfs.read_cmdline(pid, proc)
        name = format_argv(argv) if argv else f"[{procfs.read_status(pid, proc).name}]"
    except (OSError, ValueError, procfs.ProcessGoneError):
        return f"process {pid}"
    return f"process {pid} ({name})"


def format_argv(argv: list[str], limit: int = 60) -> str:
    """A command line on one line: the program without its directory, and as much of the rest as `limit` leaves."""
    words = " ".join([argv[0].rpartition("/")[2] or argv[0], *argv[1:]]).split()
    shown = " ".join(words).encode("utf-8", "backslashreplace").decode()
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
