"""The C stacks of threads, copied while they stand still: from just below the stack pointer to where each begins.

How deep they are is known only then, so there is nothing that could be recorded beforehand. Page by page, in one go.
"""

from __future__ import annotations

import ctypes
import struct
from bisect import bisect_right
from collections.abc import Callable, Container, Sequence
from collections.abc import Mapping as ReadOnlyDict

from lastwords.capture.captured import KernelThread
from lastwords.capture.memory import PAGE, Memory, ProcessMemory, Range, ReadError
from lastwords.capture.procfs import Mapping, parse_maps
from lastwords.capture.stop.copied import Pages, copy_pages, merge_pages, read_ranges

PTHREAD_SIZE = 2304  # bytes of glibc's `struct pthread`; musl's is shorter
SHALLOW = 64 << 10  # bytes
MAIN = "[stack]"
RED_ZONE = 256  # bytes below the stack pointer: 128 are in use by x86-64's ABI
UNSURE_LIMIT = 256 << 10  # bytes of one of which nobody knows where it begins
STACK_LIMIT = 8 << 20  # bytes of one, as deep as `ulimit -s` mostly allows
STACKS_LIMIT = 128 << 20  # bytes of all
SAID_LIMIT = 10  # threads of which each has a problem of its own


class Stacks:
    """Copies stacks, as often as it is told to; what counts is the last time.

    maps, threads: as they were shortly before; they tell how much room it takes, and, in `memory`, where stacks end
    """

    def __init__(self, maps: Sequence[Mapping], threads: Sequence[KernelThread], memory: Memory) -> None:
        self._maps = _Maps(maps, {})
        self._idents = {one.tid: ident for one in threads if (ident := self._maps.find_ident(one, memory))}
        self._maps = _Maps(maps, self._idents)
        self.ranges: list[Range] = []
        self._numbers: list[int] = []
        self._failed: Pages = {}
        self.problems: list[str] = []
        expected = sum(self._maps.find(one)[1] for one in threads)
        self._make_room(min(expected + expected // 4, STACKS_LIMIT))

    def _make_room(self, size: int) -> None:
        self._room = bytearray(size + 1)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._room))
        ctypes.memset(self._address, 0, len(self._room))  # or each page of it would be a fault later

    def read(
        self, memory: Memory, threads: Sequence[KernelThread], maps: Callable[[], str], known: Container[int]
    ) -> None:
        """Copies the stacks of all whose stack pointer is known, but for the pages `known`, which have been copied.

        `maps` is asked where what was known of mappings is too old.
        """
        wanted = [one for one in threads if one.sp is not None]
        found = [self._maps.find(one) for one in wanted]
        if not all(size for _, size in found):
            self._maps = _Maps(parse_maps(maps()), self._idents)
            found = [self._maps.find(one) for one in wanted]
        limits = share([min(size, STACK_LIMIT) for _, size in found], STACKS_LIMIT)
        self.ranges = [(start, limit & -PAGE) for (start, _), limit in zip(found, limits, strict=True)]
        self.problems = _describe_gaps(wanted, found, self.ranges)
        numbers = {number for start, size in self.ranges for number in range(start, start + size, PAGE)}
        self._numbers = sorted(number for number in numbers if number not in known)
        self._copy(memory)

    def _copy(self, memory: Memory) -> None:
        size = len(self._numbers) * PAGE
        if size >= len(self._room):
            self._make_room(size)
        failed = self._numbers
        if isinstance(memory, ProcessMemory):
            failed = read_ranges(memory, list(merge_pages(self._numbers)), self._address)
        self._failed = copy_pages(memory, failed) if failed else {}

    def add_to(self, pages: Pages) -> None:
        """Adds what was copied, as far as it is not there."""
        view = memoryview(self._room)
        for at, number in enumerate(self._numbers):
            if pages.get(number) is None:
                is_failed = number in self._failed
                pages[number] = self._failed[number] if is_failed else view[at * PAGE : (at + 1) * PAGE]


class _Maps:
    """Where stacks end: mappings by their addresses, and the idents of threads where their registers do not tell."""

    def __init__(self, maps: Sequence[Mapping], idents: ReadOnlyDict[int, int]) -> None:
        self._maps = maps
        self._ends = [one.end for one in maps]
        self._idents = idents

    def find(self, thread: KernelThread) -> Range:
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

    def _find_mapping(self, thread: KernelThread) -> Mapping | None:
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


def _describe_gaps(threads: Sequence[KernelThread], wanted: Sequence[Range], copied: Sequence[Range]) -> list[str]:
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
