"""A cache over a memory that keeps its pages itself: it looks into these, and keeps none of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lastwords.capture.memory import PAGE, CachedMemory, Range
from lastwords.capture.stop.copied import CopiedMemory, PagedMemory


class SharedMemory(CachedMemory):
    """See CachedMemory. Of a copy it is not noted what was used."""

    def __init__(self, memory: PagedMemory) -> None:
        super().__init__(memory)
        self._paged, self._kept = memory, memory.pages
        self._is_copy = isinstance(memory, CopiedMemory)

    @property
    def is_copy(self) -> bool:
        """See CachedMemory."""
        return self._is_copy

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        start = address & (PAGE - 1)
        page = self._kept.get(address - start)
        if page is not None and 0 <= size <= PAGE - start:  # nearly always
            return bytes(page[start : start + size])
        return self.memory.read(address, size)

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        return self.memory.read_many(ranges)

    def _fetch(self, numbers: Iterable[int]) -> None:
        missing = [number for number in dict.fromkeys(numbers) if number not in self._kept]
        if missing and not self._is_copy:
            self._paged.fetch(missing)
