"""Memory that was read before: what the readers asked for is recorded page by page, then read again in one go.

RecordingMemory  while the target runs: remembers every page that was asked for
Copy             made ready while it runs: reads the same pages again when it stands still
CompletingMemory still standing still: what is not in the copy is fetched and kept, until a deadline
CopiedMemory     afterwards: the copy alone; what is not in it was "not captured"
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterable, Iterator, Sequence

from lastwords.capture.memory import (
    ADDRESS_LIMIT,
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

PAGES_LIMIT = 65_536  # 256 MB
MISSES_LIMIT = 10_000
RUN_LIMIT = 64  # pages in one range
PIECE = 256  # bytes


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

    `overflow` counts pages above PAGES_LIMIT, which are not to be had.
    """

    def __init__(self, memory: Memory) -> None:
        super().__init__({})
        self.memory = memory
        self.overflow = 0

    def fetch(self, numbers: Sequence[int]) -> None:
        """See PagedMemory."""
        room = max(PAGES_LIMIT - len(self.pages), 0)
        self.overflow += len(numbers[room:])
        self.pages.update(copy_pages(self.memory, numbers[:room]))


class CompletingMemory(PagedMemory):
    """A copy; what is not in it is read from `memory` and kept, as long as time.monotonic() is below `deadline`.

    `is_late` says whether something was asked for after that.
    """

    def __init__(self, pages: Pages, memory: Memory, deadline: float) -> None:
        super().__init__(pages)
        self.memory = memory
        self.deadline = deadline
        self.is_late = False

    def fetch(self, numbers: Sequence[int]) -> None:
        """See PagedMemory."""
        if time.monotonic() < self.deadline and len(self.pages) < PAGES_LIMIT:
            self.pages.update(copy_pages(self.memory, numbers))
        else:
            self.is_late = True


class CopiedMemory(PagedMemory):
    """The pages alone. `misses` are the addresses of those that were read and are not there.

    `used`: what was asked for, by addresses of pieces of PIECE bytes
    """

    def __init__(self, pages: Pages) -> None:
        super().__init__(pages)
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
        if not missing:
            return unreadable(address, size, "no memory there")
        if len(self.misses) < MISSES_LIMIT:
            self.misses.update(dict.fromkeys(missing[:MISSES_LIMIT]))
        return unreadable(address, size, "not captured")


class Copy:
    """Pages to be read again, in as little time as possible: their place is made, and touched, beforehand.

    `pages` are those of `recorded` that could be read then, once `read()` has been called; that may be done again.
    """

    def __init__(self, recorded: Pages) -> None:
        good = sorted(number for number, page in recorded.items() if page is not None)
        self.pages: Pages = {}
        self._recorded = recorded
        self._ranges = list(merge_pages(good))
        self._room = bytearray(len(good) * PAGE + 1)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._room))
        ctypes.memset(self._address, 0, len(self._room))  # or each page of it would be a fault later
        view = memoryview(self._room)
        self._views = {number: view[at * PAGE : (at + 1) * PAGE] for at, number in enumerate(good)}

    def read(self, memory: Memory) -> None:
        """Reads all of them. A page that is not there any more is None."""
        self.pages = dict(self._views)
        if isinstance(memory, ProcessMemory):
            failed = read_ranges(memory, self._ranges, self._address)
        else:
            failed = list(self._views)
        self.pages.update(copy_pages(memory, failed))

    def has_changed(self) -> bool:
        """Whether any page is another one than when it was recorded: then somebody has moved."""
        # as bytes: two memoryviews are compared byte by byte, 30 times as slowly
        return any(page is None or bytes(page) != self._recorded[number] for number, page in self.pages.items())


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
