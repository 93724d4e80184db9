"""Memory that was read before: what the readers asked for is recorded page by page, then read again in one go.

RecordingMemory  while the target runs: remembers every page that was asked for
Copy             made ready while it runs: reads the same pages again when it stands still
CompletingMemory still standing still: what is not in the copy is fetched and kept, until a deadline
CopiedMemory     afterwards: the copy alone; what is not in it was "not captured"
"""

from __future__ import annotations

import ctypes
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from lastwords.capture.memory import (
    ADDRESS_LIMIT,
    AHEAD,
    BATCH_LIMIT,
    PAGE,
    READ_LIMIT,
    Memory,
    ProcessMemory,
    Range,
    ReadError,
    unreadable,
)

Pages = dict[int, bytes | memoryview | None]  # by the address of each; None: it could not be read

PAGES_LIMIT = 262_144  # 1 GB: a hundred thousand greenlets
ALONG_LIMIT = PAGES_LIMIT * PAGE // 8 * 7  # bytes
MISSES_LIMIT = 10_000
RUN_LIMIT = 64  # pages in one range
PIECE = 256  # bytes

Parts = Mapping[int, tuple[int, int]]  # of pages: from one byte of each to another


class PagedMemory:
    """Reads out of whole pages. `fetch` is asked for those that are not there yet."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages

    def fetch(self, numbers: Sequence[int]) -> None:
        """Adds the pages at these addresses, as far as they are to be had."""
        raise NotImplementedError

    def explain(self, address: int, size: int) -> ReadError:
        """The error for what is not there."""
        return unreadable(address, size, "no memory there")

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        start = address & (PAGE - 1)
        page = self.pages.get(address - start)
        if page is not None and 0 <= size <= PAGE - start:  # nearly always
            return bytes(page[start : start + size])
        if not _is_sane(address, size):
            raise unreadable(address, size, "not an address, or not a size")
        self._fetch_missing(_pages_of(address, size))
        found = self._join(address, size)
        if found is None:
            raise self.explain(address, size)
        return found

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory. Fetches all pages that are missing in one go."""
        self._fetch_missing(number for one in ranges if _is_sane(*one) for number in _pages_of(*one))
        return [self._join(*one) if _is_sane(*one) else None for one in ranges]

    def _join(self, address: int, size: int) -> bytes | None:
        parts = [self.pages.get(number) for number in _pages_of(address, size)]
        if None in parts:
            return None
        start = address & (PAGE - 1)
        return b"".join(part for part in parts if part)[start : start + size]

    def _fetch_missing(self, numbers: Iterable[int]) -> None:
        missing = [number for number in dict.fromkeys(numbers) if number not in self.pages]
        if missing:
            self.fetch(missing)


class RecordingMemory(PagedMemory):
    """Reads another memory, each page once, and keeps the pages in the order in which they were asked for.

    `overflow` counts pages above PAGES_LIMIT, which are not to be had. What is beside a page is read with it, as it is
    often asked for next; but only what was asked for is in `pages`, to be read again while threads stand still.

    along: ranges of whole pages that are to be copied then, too, without having been asked for
    """

    def __init__(self, memory: Memory) -> None:
        super().__init__({})
        self.memory = memory
        self.overflow = 0
        self.along: Sequence[Range] = ()
        self._beside: Pages = {}

    def fetch(self, numbers: Sequence[int]) -> None:
        """See PagedMemory."""
        room = max(PAGES_LIMIT - len(self.pages), 0)
        self.overflow += len(numbers[room:])
        wanted = numbers[:room]
        unknown = [number for number in wanted if number not in self._beside]
        if len(unknown) == 1:
            start = unknown[0] & -AHEAD
            unknown = [one for one in range(start, start + AHEAD, PAGE) if one not in self._beside]
        self._beside.update(copy_pages(self.memory, unknown))
        self.pages.update((number, self._beside.pop(number)) for number in wanted)

    @property
    def pages_along(self) -> set[int]:
        """The pages of `along`."""
        return {number for start, size in self.along for number in range(start, start + size, PAGE)}

    def forget(self) -> None:
        """All that was read, to begin again."""
        self.pages.clear()
        self._beside.clear()


class CompletingMemory(PagedMemory):
    """A copy; what is not in it is read from `memory` and kept, as long as time.monotonic() is below `deadline`.

    recorded: its pages as they were before; is_late: whether something was asked for after the deadline
    """

    def __init__(self, pages: Pages, memory: Memory, deadline: float, recorded: Pages) -> None:
        super().__init__(pages)
        self.memory = memory
        self.deadline = deadline
        self.recorded = recorded
        self.is_late = False

    def changed(self, parts: Parts) -> set[int]:
        """The pages of which these parts are not as they were when they were recorded."""
        pages, recorded = self.pages, self.recorded
        return {
            number
            for number, (start, end) in parts.items()
            if (now := pages.get(number)) is None
            or (then := recorded.get(number)) is None
            or bytes(now[start:end]) != then[start:end]  # as bytes: two memoryviews are compared 30 times as slowly
        }

    def fetch(self, numbers: Sequence[int]) -> None:
        """See PagedMemory."""
        if time.monotonic() < self.deadline and len(self.pages) < PAGES_LIMIT:
            self.pages.update(copy_pages(self.memory, numbers))
        else:
            self.is_late = True


class CopiedMemory(PagedMemory):
    """The pages alone. `misses` are the addresses of those that were read and are not there.

    `mapped`: where the process had memory, by rising address, if that is known; elsewhere nothing is missing
    `used`: what was asked for, by addresses of pieces of PIECE bytes
    """

    def __init__(self, pages: Pages, mapped: Sequence[Range] | None = None) -> None:
        super().__init__(pages)
        self.mapped = mapped
        self.misses: dict[int, None] = {}
        self.used: set[int] = set()

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        found = super().read(address, size)
        self.used.update(range(address & -PIECE, address + size, PIECE))
        return found

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        for address, size in ranges:
            if _is_sane(address, size):
                self.used.update(range(address & -PIECE, address + size, PIECE))
        return super().read_many(ranges)

    @property
    def is_full(self) -> bool:
        """Whether it has as many pages as are captured at most: another copy would lack as many."""
        return len(self.pages) >= PAGES_LIMIT

    def fetch(self, numbers: Sequence[int]) -> None:
        """Nothing: there is no more."""

    def explain(self, address: int, size: int) -> ReadError:
        """See PagedMemory. Counts a page that nobody had asked for; one that could not be read then is no miss."""
        missing = [number for number in _pages_of(address, size) if number not in self.pages]
        if not missing or not all(self._is_mapped(number) for number in missing):
            return unreadable(address, size, "no memory there")
        if len(self.misses) < MISSES_LIMIT:
            self.misses.update(dict.fromkeys(missing[:MISSES_LIMIT]))
        return unreadable(address, size, "not captured")

    def _is_mapped(self, number: int) -> bool:
        if self.mapped is None:
            return True
        at = bisect_right(self.mapped, number, key=itemgetter(0)) - 1
        return at >= 0 and number < sum(self.mapped[at])


class Copy:
    """Pages to be read again, in as little time as possible: their place is made, and touched, beforehand.

    `pages` are those of `recorded`, and `more`, that could be read then, once `read()` has been called; that may be
    done again.
    """

    def __init__(self, recorded: Pages, memory: Memory, more: Iterable[int] = ()) -> None:
        good = sorted({number for number, page in recorded.items() if page is not None}.union(more))
        self.pages: Pages = {}
        self._memory = memory
        self._ranges = list(merge_pages(good))
        self._room = Room(len(good) * PAGE)
        self._views = self._room.views(good)
        self._reads: list[Callable[[], int]] = []
        if isinstance(memory, ProcessMemory):
            self._reads += prepare_ranges(memory, self._ranges, self._room.address)

    def read(self) -> None:
        """Reads all of them. A page that is not there any more is None."""
        self.pages = dict(self._views)
        if sum(read() for read in self._reads) == len(self._views) * PAGE:
            return
        failed = list(self._views)
        if isinstance(self._memory, ProcessMemory):
            failed = read_ranges(self._memory, self._ranges, self._room.address)
        self.pages.update(copy_pages(self._memory, failed))


class Room:
    """Place for `size` bytes, touched: or each page of it would be a fault later."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._bytes = bytearray(size + 1)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._bytes))
        ctypes.memset(self.address, 0, size)

    def views(self, numbers: Sequence[int]) -> dict[int, memoryview]:
        """The pages at these addresses, if they are one behind the other here."""
        view = memoryview(self._bytes)
        return {number: view[at * PAGE : (at + 1) * PAGE] for at, number in enumerate(numbers)}


def prepare_ranges(memory: ProcessMemory, ranges: Sequence[Range], into: int) -> Iterator[Callable[[], int]]:
    """What will read these, one behind the other; each returns the bytes that it has read."""
    for start in range(0, len(ranges), BATCH_LIMIT):
        batch = ranges[start : start + BATCH_LIMIT]
        yield memory.prepare(batch, into)
        into += sum(size for _, size in batch)


def read_ranges(memory: ProcessMemory, ranges: Sequence[Range], into: int) -> list[int]:
    """Reads whole pages, one range behind the other, to `into` in our memory.

    The pages of the ranges that could not be read in full; their room is left free.
    """
    failed: list[int] = []
    done = 0
    while done < len(ranges):
        batch = ranges[done : done + BATCH_LIMIT]
        got = memory.read_into(batch, into)
        for address, size in batch:
            done, into = done + 1, into + size
            got -= size
            if got < 0:
                failed += range(address, address + size, PAGE)
                break
    return failed


def copy_pages(memory: Memory, numbers: Iterable[int]) -> Pages:
    """The pages at these addresses as they are now; those side by side are read as one range."""
    ranges = list(merge_pages(sorted(numbers)))
    pages: Pages = {}
    alone: list[int] = []
    for (address, size), data in zip(ranges, memory.read_many(ranges), strict=True):
        if data is not None:
            pages.update((address + at, data[at : at + PAGE]) for at in range(0, size, PAGE))
        elif size == PAGE:
            pages[address] = None
        else:  # one page of it is not there: the others may be
            alone += range(address, address + size, PAGE)
    pages.update(zip(alone, memory.read_many([(number, PAGE) for number in alone]), strict=True))
    return pages


def merge_pages(numbers: Sequence[int]) -> Iterator[Range]:
    """Ranges of at most RUN_LIMIT pages, each of them once, for rising addresses of pages."""
    start = size = 0
    for number in numbers:
        if size and (number != start + size or size == RUN_LIMIT * PAGE):
            yield start, size
            size = 0
        start = start if size else number
        size += PAGE
    if size:
        yield start, size


def _pages_of(address: int, size: int) -> range:
    return range(address & -PAGE, address + size, PAGE) if size else range(0)


def _is_sane(address: int, size: int) -> bool:
    return 0 <= size <= READ_LIMIT and 0 < address < ADDRESS_LIMIT - size
