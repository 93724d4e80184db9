"""Which memory of a process is worth a search: what it keeps its objects in, and of that only what is there.

Reading a page that was never touched makes a process's page tables grow, and reading one that is swapped out brings it
back: /proc/PID/pagemap (proc(5)) tells which they are. Memory of devices and of files is left alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from lastwords.capture.memory import PAGE, Range
from lastwords.capture.procfs import PROC, Mapping

ENTRY = 8  # bytes of pagemap for each page; its last byte has the bits 63 (present), 62 (swapped), 58 (a guard)
PRESENT = re.compile(rb"[\x80-\xff]+")
SWAPPED = re.compile(rb"[\x40-\x43\x48-\x4b\x50-\x53\x58-\x5b\x60-\x63\x68-\x6b\x70-\x73\x78-\x7b]")
BATCH = 1 << 20  # pages asked for at once
VIRTUAL_LIMIT = 1 << 40  # bytes of mappings that are looked at
SEARCH_LIMIT = 64 << 30  # bytes of memory
ANONYMOUS = ("", "[heap]", "/anon_hugepage", "/anon_hugepage (deleted)")


class Areas(msgspec.Struct):
    """What to search: `ranges` by rising address; bytes that are not among them because of swap or of our limits."""

    ranges: list[Range] = []
    size: int = 0
    swapped: int = 0
    left: int = 0

    def add(self, address: int, size: int) -> None:
        """One more range, if there is room."""
        if self.size + size > SEARCH_LIMIT:
            self.left += size
        else:
            self.ranges.append((address, size))
            self.size += size


def has_objects(mapping: Mapping) -> bool:
    """Whether a program's objects may lie there: private, writable, of no file."""
    is_anonymous = mapping.path in ANONYMOUS or mapping.path.startswith("[anon:")
    return is_anonymous and mapping.permissions.startswith("rw") and mapping.permissions.endswith("p")


def is_own(mapping: Mapping) -> bool:
    """Whether what a program writes there is its own: beside its objects its stack, and the variables of libraries."""
    is_file = mapping.path.startswith("/") and not mapping.path.startswith("/dev/")
    is_private = mapping.permissions.startswith("rw") and mapping.permissions.endswith("p")
    return has_objects(mapping) or (is_private and (is_file or mapping.path == "[stack]"))


def find_present(
    pid: int, maps: Sequence[Mapping], proc: Path = PROC, is_wanted: Callable[[Mapping], bool] = has_objects
) -> Areas:
    """The pages of a live process that are in memory. Raises OSError where the kernel does not tell."""
    areas = Areas()
    seen = 0
    descriptor = os.open(proc / str(pid) / "pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for mapping in filter(is_wanted, maps):
            seen += mapping.end - mapping.start
            if seen > VIRTUAL_LIMIT:
                areas.left += mapping.end - mapping.start
                continue
            for start, flags in _read_flags(descriptor, mapping):
                areas.swapped += len(SWAPPED.findall(flags)) * PAGE
                for run in PRESENT.finditer(flags):
                    areas.add(start + run.start() * PAGE, (run.end() - run.start()) * PAGE)
    finally:
        os.close(descriptor)
    return areas


def _read_flags(descriptor: int, mapping: Mapping) -> Iterator[tuple[int, bytes]]:
    """(address of the first page, a byte of flags for each page)."""
    for start in range(mapping.start, mapping.end, BATCH * PAGE):
        count = min(mapping.end - start, BATCH * PAGE) // PAGE
        yield start, os.pread(descriptor, count * ENTRY, start // PAGE * ENTRY)[ENTRY - 1 :: ENTRY]


def all_of(maps: Sequence[Mapping]) -> Areas:
    """The same of a core file, which says of no page whether it was there."""
    areas = Areas()
    for mapping in filter(has_objects, maps):
        areas.add(mapping.start, mapping.end - mapping.start)
    return areas
