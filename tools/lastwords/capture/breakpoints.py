"""Take out the breakpoints that a gdb has left behind which was killed, or has crashed.

A program that reaches one with nobody tracing it dies of SIGTRAP. gdb's are single bytes, 0xCC, written over the text
of an ELF file in memory: the page is then no longer the file's (`/proc/PID/pagemap`, bit 61), and the file says what
stood there. Only such bytes are written. This is the one case in which lastwords itself writes to a program, and
it writes back what was there.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from lastwords.capture import procfs
from lastwords.capture.elf import open_mapped

INT3 = 0xCC
PAGE = os.sysconf("SC_PAGE_SIZE")
# Documentation/admin-guide/mm/pagemap.rst
_PRESENT, _OF_FILE = 1 << 63, 1 << 61


def remove_breakpoints(pid: int) -> int:
    """Restore the text of a process; how many breakpoints were in it. 0 where it is gone or may not be written."""
    try:
        with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
            left = list(_find_left(pid, memory.fileno()))
            for address, original in left:
                os.pwrite(memory.fileno(), original, address)
            return len(left)
    except (OSError, procfs.ProcessGoneError):
        return 0


def count_breakpoints(pid: int) -> int:
    """How many `remove_breakpoints` would find now. Raises OSError or ProcessGoneError."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        return sum(1 for _ in _find_left(pid, memory.fileno()))


def _find_left(pid: int, memory: int) -> Iterator[tuple[int, bytes]]:
    """The address of each breakpoint, and what stood there."""
    for mapping in procfs.read_maps(pid):
        pages = list(_own_pages(pid, mapping)) if "x" in mapping.permissions and mapping.inode else []
        opened = open_mapped(pid, mapping) if pages else None
        if opened is None:
            continue
        with opened[1].open("rb") as file:
            for address in pages:
                original = os.pread(file.fileno(), PAGE, mapping.offset + address - mapping.start)
                for offset in find_breakpoints(os.pread(memory, PAGE, address), original):
                    yield address + offset, original[offset : offset + 1]


def _own_pages(pid: int, mapping: procfs.Mapping) -> Iterator[int]:
    """Addresses of the pages of a mapping that were written to."""
    first, last = mapping.start // PAGE, mapping.end // PAGE
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
        entries = os.pread(pagemap.fileno(), (last - first) * 8, first * 8)
    for number, (entry,) in enumerate(struct.iter_unpack("=Q", entries[: len(entries) // 8 * 8])):
        if entry & _PRESENT and not entry & _OF_FILE:
            yield (first + number) * PAGE


def find_breakpoints(text: bytes, original: bytes) -> list[int]:
    """Offsets at which `text` has a breakpoint that `original` has not."""
    return [
        offset
        for offset, (byte, before) in enumerate(zip(text, original, strict=False))
        if byte == INT3 and before != INT3
    ]


def mend(pids: Iterable[int]) -> None:
    """Undo what a gdb that is gone without letting go has left in these processes and in those below them.

    Its breakpoints; and a SIGSTOP of its own that it had under way: gdb 13 crashes at times as it detaches.
    """
    for pid in dict.fromkeys(below for root in pids for below in find_descendants(root)):
        remove_breakpoints(pid)
        if is_stopped(pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGCONT)


def is_stopped(pid: int) -> bool:
    """Whether a process that nobody traces stands still (SIGSTOP)."""
    try:
        return procfs.read_status(pid).state.startswith("T")
    except (OSError, procfs.ProcessGoneError):
        return False


def find_descendants(pid: int) -> list[int]:
    """`pid` and its children, and theirs, as they are now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(procfs.read_status(int(entry.name)).ppid, []).append(int(entry.name))
            except (OSError, procfs.ProcessGoneError, KeyError, ValueError):
                continue
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, ()))
    return found
