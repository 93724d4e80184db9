"""The C stacks of threads, copied while they stand still: from just below the stack pointer to where each begins.

How deep they are is known only then, so there is nothing that could be recorded beforehand. Page by page, in one go.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Container, Sequence
from collections.abc import Mapping as ReadOnlyDict

from lastwords.capture.captured import KernelThread, StackPointer
from lastwords.capture.memory import PAGE, Memory, ProcessMemory, Range, ReadError
from lastwords.capture.procfs import Mapping, parse_maps
from lastwords.capture.stop.copied import Pages, Room, copy_pages, merge_pages, read_ranges

PTHREAD_SIZE = 2304  # bytes of glibc's `struct pthread`; musl's is shorter
SHALLOW = 64 << 10  # bytes
MAIN = "[stack]"
RED_ZONE = 256  # bytes below the stack pointer: 128 are in use by x86-64's ABI
UNSURE_LIMIT = 256 << 10  # bytes of one of which nobody knows where it begins
STACK_LIMIT = 8 << 20  # bytes of one, as deep as `ulimit -s` mostly allows
STACKS_LIMIT = 128 << 20  # bytes of all
SAID_LIMIT = 10  # threads of which each has a problem of its own

Thread = KernelThread | StackPointer


class Stacks:
    """Copies stacks, as often as it is told to; what counts is the last time.

    maps, threads: as they were shortly before; they tell how much room it takes, and, in `memory`, where stacks end
    ranges, problems: what was copied, and what was not, once it is all put together
    """

    def __init__(self, maps: Sequence[Mapping], threads: Sequence[KernelThread], memory: Memory) -> None:
        self._maps = _Maps(maps, {})
        self._idents = {one.tid: ident for one in threads if (ident := self._maps.find_ident(one, memory))}
        self._maps = _Maps(maps, self._idents)
        self.ranges: list[Range] = []
        self.problems: list[str] = []
        self._expected: dict[int, int] = {}
        self._left = STACKS_LIMIT
        self._wanted: list[Thread] = []
        self._numbers: list[int] = []
        self._failed: Pages = {}
        self._room = Room(0)

    def expect(self, threads: Sequence[KernelThread]) -> set[int]:
        """The pages of their stacks, which are then copied by others: `read` is left those that have moved since."""
        self._expected = {one.tid: one.sp for one in threads if one.sp is not None}
        pages = self._pages_of(self._find([one for one in threads if one.sp is not None]))
        self._left -= len(pages) * PAGE
        self._room = Room(len(pages) * PAGE // 4 + SHALLOW)
        return pages

    def read(self, memory: Memory, threads: Sequence[Thread], maps: Callable[[], str], known: Container[int]) -> None:
        """Copies the stacks of all whose stack pointer is known, but for the pages `known`, which have been copied.

        `maps` is asked where what was known of mappings is too old.
        """
        self._wanted = [one for one in threads if one.sp is not None]
        moved = [one for one in self._wanted if one.sp != self._expected.get(one.tid)]
        found = self._find(moved)
        if not all(size for _, size in found):
            self._maps = _Maps(parse_maps(maps()), self._idents)
            found = self._find(moved)
        self._numbers = sorted(number for number in self._pages_of(found) if number not in known)
        self._copy(memory)

    def _find(self, threads: Sequence[Thread]) -> list[Range]:
        return [self._maps.find(one) for one in threads]

    def _pages_of(self, found: Sequence[Range]) -> set[int]:
        limits = share([min(size, STACK_LIMIT) for _, size in found], self._left)
        ranges = [(start, limit & -PAGE) for (start, _), limit in zip(found, limits, strict=True)]
        return {number for start, size in ranges for number in range(start, start + size, PAGE)}

    def _copy(self, memory: Memory) -> None:
        size = len(self._numbers) * PAGE
        if size > self._room.size:
            self._room = Room(size)
        failed = self._numbers
        if isinstance(memory, ProcessMemory):
            failed = read_ranges(memory, list(merge_pages(self._numbers)), self._room.address)
        self._failed = copy_pages(memory, failed) if failed else {}

    def add_to(self, pages: Pages) -> None:
        """Adds what was copied, as far as it is not there, and tells what of the stacks is there then."""
        for number, page in self._room.views(self._numbers).items():
            if pages.get(number) is None:
                pages[number] = self._failed.get(number, page)
        found = self._find(self._wanted)
        self.ranges = [(start, _size_of(range(start, start + size, PAGE), pages)) for start, size in found]
        self.problems = _describe_gaps(self._wanted, found, self.ranges)


def _size_of(numbers: range, pages: Pages) -> int:
    """Bytes of the first of these pages that were asked for."""
    return next((number for number in numbers if number not in pages), numbers.stop) - numbers.start


class _Maps:
    """Where stacks end: mappings by their addresses, and the idents of threads where their registers do not tell."""

    def __init__(self, maps: Sequence[Mapping], idents: ReadOnlyDict[int, int]) -> None:
        self._maps = maps
        self._ends = [one.end for one in maps]
        self._idents = idents

    def find(self, thread: Thread) -> Range:
        """Address and size, in whole pages, of what a thread has in use of its stack; size 0 where that is not known.

        Its own `struct pthread` is above it, where it is no main thread. Where there are no guard pages between stacks
        (glibc 2.42), mappings of several are one.
        """
        mapping = self._find_mapping(thread)
        if thread.sp is None or mapping is None:
            return (thread.sp or 0) & -PAGE, 0
        end, ident = mapping.end, thread.ident or self._idents.get(thread.tid)
        if ident is not None and thread.sp < ident < end:
            end = min(end, ident + PTHREAD_SIZE)
        elif mapping.path != MAIN:
            end = min(end, thread.sp + UNSURE_LIMIT)
        start = max(thread.sp - RED_ZONE, 0) & -PAGE
        return start, (end - start + PAGE - 1) & -PAGE

    def _find_mapping(self, thread: Thread) -> Mapping | None:
        if thread.sp is None:
            return None
        index = bisect_right(self._ends, thread.sp)
        mapping = self._maps[index] if index < len(self._maps) else None
        is_in = mapping is not None and (thread.sp >= mapping.start or mapping.path == MAIN)  # that one grows downwards
        return mapping if is_in else None

    def find_ident(self, thread: KernelThread, memory: Memory) -> int | None:
        """`pthread_self()` of a thread with more above its stack pointer than a stack is mostly deep.

        glibc's `tcbhead_t`, with which its struct begins, has its own address in its first and third words.
        """
        mapping = self._find_mapping(thread)
        if thread.sp is None or mapping is None or mapping.path == MAIN or mapping.end - thread.sp < SHALLOW:
            return None
        for page in range(thread.sp & -PAGE, min(mapping.end, thread.sp + STACK_LIMIT), PAGE):
            try:
                words = struct.unpack(f"<{PAGE // 8}Q", memory.read(page, PAGE))
            except ReadError:
                return None
            for at in range(0, PAGE // 8, 8):  # it is aligned to 64 bytes
                if words[at] == words[at + 2] == page + at * 8:
                    return page + at * 8
        return None


def share(wishes: Sequence[int], total: int) -> list[int]:
    """As much of `total` for each as it wishes; where that is not enough, the greatest wishes are cut to one size."""
    if sum(wishes) <= total:
        return list(wishes)
    left, limit = total, total
    for done, wish in enumerate(sorted(wishes)):
        limit = left // (len(wishes) - done)
        if wish > limit:
            break
        left -= wish
    return [min(wish, limit) for wish in wishes]


def _describe_gaps(threads: Sequence[Thread], wanted: Sequence[Range], copied: Sequence[Range]) -> list[str]:
    problems = [
        _describe_gap(thread.tid, size, got)
        for thread, (_, size), (_, got) in zip(threads, wanted, copied, strict=True)
        if got < size or not size
    ]
    more = len(problems) - SAID_LIMIT
    return [*problems[:SAID_LIMIT], f"and so for {more} more threads"] if more > 0 else problems


def _describe_gap(tid: int, size: int, got: int) -> str:
    if not size:
        return f"the C stack of thread {tid} was not captured: its stack pointer points to no memory"
    return (
        f"the C stack of thread {tid} is {size >> 10} KiB deep; the outermost {size - got >> 10} KiB were not captured"
    )
