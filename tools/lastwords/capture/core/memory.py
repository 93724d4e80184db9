"""The memory that a core file holds, and what the mapped ELF files add to it.

A core holds what the process had changed; pages that are as their file has them are mostly left out (the kernel's
`coredump_filter`, core(5); gdb's gcore does alike). Those are read from the files, checked (capture/core/files.py). A
page that the core has wins. What neither has is a ReadError "not in the core file": no zeros are invented.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial

from lastwords.capture.core.files import MappedFiles
from lastwords.capture.core.headers import TOP, WRITABLE, FileBytes, ProgramHeader
from lastwords.capture.memory import READ_LIMIT, Range, ReadError, unreadable

REASON = "not in the core file"


class SegmentMemory:
    """What the core file itself holds, by its PT_LOADs in rising order. See Memory."""

    def __init__(self, file: FileBytes, loads: Sequence[ProgramHeader]) -> None:
        self.file = file
        self.loads = loads
        self._starts = [load.address for load in loads]
        self._left_out: set[int] = set()

    def leave_out(self, address: int) -> None:
        """What the core has of the segment at `address` is not what was there: it is not read."""
        load = self.find(address)
        if load is not None:
            self._left_out.add(load.address)

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        return read_pieces(self._begin_or_raise, address, size)

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        return [_or_none(self.read, *item) for item in ranges]

    def _begin_or_raise(self, address: int, size: int) -> bytes:
        if data := self.begin(address, size):
            return data
        raise unreadable(address, size, REASON)

    def begin(self, address: int, size: int) -> bytes:
        """As many bytes from `address` on as one segment has of them; none where it has none, or was cut off."""
        load = self.find(address)
        if load is None or load.address in self._left_out:
            return b""
        start = address - load.address
        return self.file.read(load.offset + start, min(size, load.file_size - start))

    def find(self, address: int) -> ProgramHeader | None:
        """The segment at `address`, with data there or without."""
        index = bisect_right(self._starts, address) - 1
        load = self.loads[index] if index >= 0 else None
        return load if load and address < load.address + load.memory_size else None

    def next_start(self, address: int) -> int:
        """Where the first segment above `address` begins."""
        index = bisect_right(self._starts, address)
        return self._starts[index] if index < len(self._starts) else TOP


class CoreMemory:
    """The whole memory: the core's own segments, then the files that were mapped. See Memory."""

    def __init__(self, segments: SegmentMemory, files: MappedFiles) -> None:
        self.segments = segments
        self.files = files
        self._has_changes = any(self._is_anonymous(load) for load in segments.loads)

    def _is_anonymous(self, load: ProgramHeader) -> bool:
        return bool(load.flags & WRITABLE and load.file_size and not self.files.find(load.address))

    def read(self, address: int, size: int) -> bytes:
        """See Memory. A file that was needed and is not usable is one of `files.problems`."""
        try:
            return read_pieces(self._begin, address, size)
        except ReadError:
            self.files.note_problem(address)
            raise

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory. Whoever reads many at once may do so ahead of need: nothing is noted."""
        return [_or_none(partial(read_pieces, self._begin), *item) for item in ranges]

    def _begin(self, address: int, size: int) -> bytes:
        return self.segments.begin(address, size) or self._begin_of_file(address, size)

    def _begin_of_file(self, address: int, size: int) -> bytes:
        """As many bytes as the mapped file has there. Raises ReadError."""
        load = self.segments.find(address)
        if load is None:
            end, is_unchanged = self.segments.next_start(address), False
        else:
            # A mapping that the kernel left out as a whole: a page that is changed becomes anonymous, and is dumped.
            end, is_unchanged = load.address + load.memory_size, self._has_changes and not load.file_size
        return self.files.read(address, min(size, end - address), is_unchanged)


def read_pieces(begin: Callable[[int, int], bytes], address: int, size: int) -> bytes:
    """`size` bytes at `address`, of which `begin` gives as many at a time as it has, or raises ReadError."""
    if not 0 <= size <= READ_LIMIT or not 0 < address < TOP - size:
        raise unreadable(address, size, "not an address, or not a size")
    data = begin(address, size) if size else b""
    if len(data) == size:  # nearly always
        return data
    parts, have = [data], len(data)
    while have < size:
        parts.append(begin(address + have, size - have))
        have += len(parts[-1])
    return b"".join(parts)


def _or_none(read: Callable[[int, int], bytes], address: int, size: int) -> bytes | None:
    try:
        return read(address, size)
    except ReadError:
        return None
