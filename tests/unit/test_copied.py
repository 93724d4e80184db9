"""What is copied page by page agrees with what it was copied from, with holes anywhere: tested on memory made here."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastwords.capture.memory import PAGE, CachedMemory, Memory, ProcessMemory, ReadError, unreadable
from lastwords.capture.stop import copied
from lastwords.capture.stop.copied import CompletingMemory, CopiedMemory, Copy, Pages, RecordingMemory, copy_pages
from lastwords.capture.stop.shared import SharedMemory

BASE = 0x10000
PAGES = 12


class Holey:
    """PAGES pages from BASE on, some of which are not there; `reads` is what was asked for."""

    def __init__(self, holes: frozenset[int] = frozenset()) -> None:
        self.holes = holes
        self.reads: list[tuple[int, int]] = []
        self.data = bytearray(os.urandom(PAGES * PAGE))

    def read(self, address: int, size: int) -> bytes:
        self.reads.append((address, size))
        first, last = (address - BASE) // PAGE, (address + max(size, 1) - 1 - BASE) // PAGE
        if not 0 <= first <= last < PAGES or self.holes & set(range(first, last + 1)):
            raise unreadable(address, size, "a hole")
        return bytes(self.data[address - BASE : address - BASE + size])

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        return [try_read(self, *one) for one in ranges]


def try_read(memory: Memory, address: int, size: int) -> bytes | None:
    try:
        return memory.read(address, size)
    except ReadError:
        return None


HOLES = st.frozensets(st.integers(0, PAGES - 1), max_size=5)
READS = st.lists(
    st.tuples(st.integers(BASE - PAGE, BASE + (PAGES + 1) * PAGE), st.integers(0, 3 * PAGE)), max_size=12
)  # fmt: skip
fast = settings(deadline=None, max_examples=200)


@fast
@given(HOLES, READS)
def test_recorded_copied_and_completed_memory_agree_with_the_original(
    holes: frozenset[int], reads: list[tuple[int, int]]
) -> None:
    original = Holey(holes)
    expected = [try_read(original, *one) if one[1] else b"" for one in reads]
    recording = RecordingMemory(original)
    assert [try_read(recording, *one) for one in reads] == expected
    assert recording.read_many(reads) == expected
    copy = Copy(recording.pages, original)
    copy.read()
    finished = CopiedMemory({**dict.fromkeys(recording.pages), **copy.pages})
    assert [try_read(finished, *one) for one in reads] == expected
    assert finished.read_many(reads) == expected
    assert not finished.misses
    completing = CompletingMemory({}, original, time.monotonic() + 60, {})
    assert [try_read(completing, *one) for one in reads] == expected
    assert not completing.is_late


@fast
@given(HOLES, READS, READS)
def test_a_copy_gives_what_it_has_or_says_that_it_has_not(
    holes: frozenset[int], before: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    original = Holey(holes)
    recording = RecordingMemory(original)
    recording.read_many(before)
    finished = CopiedMemory(recording.pages)
    for address, size in after:
        pages = set(range(address & -PAGE, address + size, PAGE)) if size else set()
        missed = pages - finished.pages.keys()
        if missed:
            with pytest.raises(ReadError, match="not captured") as caught:
                finished.read(address, size)
            assert caught.value.missing == "unreadable"
            assert missed <= finished.misses.keys()
        else:
            assert try_read(finished, address, size) == (try_read(original, address, size) if size else b"")


def test_the_record_is_in_order_and_each_page_is_read_once() -> None:
    original = Holey()
    recording = RecordingMemory(original)
    recording.read(BASE + 5 * PAGE - 4, 8)
    recording.read(BASE, 8)
    recording.read_many([(BASE + PAGE, 1), (BASE + 4 * PAGE, 1), (BASE + 3 * PAGE, 1)])
    assert [(number - BASE) // PAGE for number in recording.pages] == [4, 5, 0, 1, 3], "not what was read beside it"
    assert original.reads == [(BASE + 4 * PAGE, 2 * PAGE), (BASE, 4 * PAGE)]


def test_a_page_that_is_gone_loses_no_other() -> None:
    original = Holey()
    recording = RecordingMemory(original)
    recording.read(BASE, PAGES * PAGE)
    copy = Copy(recording.pages, original)
    original.holes = frozenset({3, 7})
    copy.read()
    gone = {number for number, page in copy.pages.items() if page is None}
    assert gone == {BASE + 3 * PAGE, BASE + 7 * PAGE}
    assert CopiedMemory(copy.pages).read(BASE + 4 * PAGE, 3 * PAGE) == original.data[4 * PAGE : 7 * PAGE]


@pytest.mark.parametrize("gone", [[], [0], [700], [2999], [5, 6, 1500, 2999]])
def test_a_process_is_copied_in_batches(gone: list[int]) -> None:
    size = 3000 * 2 * PAGE
    room = mmap.mmap(-1, size)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    live = ProcessMemory(os.getpid())
    numbers = [start + 2 * PAGE * number for number in range(3000)]
    copy = Copy(dict.fromkeys(numbers[::2], b""), live, numbers[1::2])
    for number, address in enumerate(numbers):
        ctypes.memmove(address, number.to_bytes(8, "little"), 8)
    libc = ctypes.CDLL(None)
    for number in gone:
        assert libc.mprotect(ctypes.c_void_p(numbers[number]), PAGE, 0) == 0
    try:
        copy.read()
        found = CopiedMemory(copy.pages)
        for number, address in enumerate(numbers):
            expected = None if number in gone else number.to_bytes(8, "little")
            assert try_read(found, address, 8) == expected
    finally:
        for number in gone:
            libc.mprotect(ctypes.c_void_p(numbers[number]), PAGE, 3)


def test_a_copy_may_be_made_again() -> None:
    original = Holey()
    recording = RecordingMemory(original)
    recording.read(BASE, PAGE)
    copy = Copy(recording.pages, original)
    copy.read()
    original.data[:] = os.urandom(len(original.data))
    copy.read()
    assert CopiedMemory(copy.pages).read(BASE, 16) == original.data[:16]


def test_completing_ends_at_its_deadline_and_keeps_what_it_has() -> None:
    original = Holey()
    pages: Pages = {BASE: b"x" * PAGE}
    completing = CompletingMemory(pages, original, time.monotonic() - 1, {})
    assert completing.read(BASE, 1) == b"x"
    with pytest.raises(ReadError):
        completing.read(BASE + PAGE, 1)
    assert completing.is_late
    assert original.reads == []


def test_what_is_recorded_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copied, "PAGES_LIMIT", 3)
    recording = RecordingMemory(Holey())
    recording.read(BASE, 2 * PAGE)
    assert not CopiedMemory(recording.pages).is_full
    assert try_read(recording, BASE + 2 * PAGE, 2 * PAGE) is None
    assert CopiedMemory(recording.pages).is_full
    assert recording.read(BASE + 2 * PAGE, 1)
    assert recording.overflow == 1
    assert try_read(recording, BASE + 5 * PAGE, 1) is None
    assert recording.overflow == 2


@pytest.mark.parametrize(("address", "size"), [(0, 8), (-8, 8), (2**64 - 4, 8), (BASE, -1), (BASE, 2**40)])
def test_what_is_no_address_or_no_size_is_our_error(address: int, size: int) -> None:
    for memory in (RecordingMemory(Holey()), CopiedMemory({})):
        with pytest.raises(ReadError):
            memory.read(address, size)
        assert memory.read_many([(address, size)]) == [None]


def test_a_cache_above_reads_ahead_without_a_miss() -> None:
    original = Holey()
    copy = CopiedMemory(copy_pages(original, [BASE]))
    assert CachedMemory(copy).read(BASE, 8) == original.data[:8]
    assert not copy.misses


def test_what_has_changed_since_it_was_recorded() -> None:
    memory = Holey()
    recording = RecordingMemory(memory)
    recording.read(BASE, 3 * PAGE)
    copy = Copy(recording.pages, memory, [BASE + 3 * PAGE])
    parts = {BASE + number * PAGE: (10, 20) for number in range(5)}

    def changed() -> set[int]:
        copy.read()
        found = CompletingMemory(copy.pages, memory, 0.0, recording.pages).changed(parts)
        return {(number - BASE) // PAGE for number in found}

    assert changed() == {3, 4}, "of these nobody knows"
    for at in (9, PAGE + 10, 2 * PAGE + 20):
        memory.data[at] ^= 1
    assert changed() == {1, 3, 4}
    memory.holes = frozenset({2})
    assert changed() == {1, 2, 3, 4}


@fast
@given(HOLES, READS)
def test_a_cache_without_pages_of_its_own_agrees_with_the_original(
    holes: frozenset[int], reads: list[tuple[int, int]]
) -> None:
    original = Holey(holes)
    wanted = [one for one in reads if one[1]]
    expected = [try_read(original, *one) for one in wanted]
    recording = RecordingMemory(original)
    shared = SharedMemory(recording)
    assert [try_read(shared, *one) for one in wanted] == expected
    assert shared.read_many(wanted) == expected
    copy = Copy(recording.pages, original)
    copy.read()
    finished = CopiedMemory({**dict.fromkeys(recording.pages), **copy.pages})
    assert [try_read(SharedMemory(finished), *one) for one in wanted] == expected
    assert not finished.misses


def test_what_is_beside_a_page_is_fetched_with_it_and_nothing_twice() -> None:
    original = Holey()
    recording = RecordingMemory(original)
    shared = SharedMemory(recording)
    shared.read(BASE + 5, 8)
    assert original.reads == [(BASE, 4 * PAGE)]
    assert sorted(recording.pages) == [BASE], "what was not asked for is not copied again"
    shared.prefetch([(BASE + 3 * PAGE, 8), (BASE + 6 * PAGE - 4, 8)])
    assert sorted(recording.pages) == [BASE + at * PAGE for at in (0, 3, 5, 6)]
    asked = len(original.reads)
    for page in recording.pages:
        shared.read(page, PAGE)
    assert len(original.reads) == asked


def test_a_miss_of_a_copy_is_counted_once_and_only_the_page_that_was_asked_for() -> None:
    copied = CopiedMemory({BASE: bytes(PAGE)})
    shared = SharedMemory(copied)
    shared.prefetch([(BASE + PAGE, 8)])
    with pytest.raises(ReadError, match="not captured"):
        shared.read(BASE + PAGE, 8)
    assert list(copied.misses) == [BASE + PAGE]
    assert copied.used == set()


def test_what_is_forgotten_is_read_again() -> None:
    memory = Holey()
    recording = RecordingMemory(memory)
    shared = SharedMemory(recording)
    assert shared.read(BASE, 8) == bytes(memory.data[:8])
    memory.data[:8] = b"new data"
    assert shared.read(BASE, 8) != b"new data"
    recording.forget()
    assert recording.pages == {}
    assert shared.read(BASE, 8) == b"new data"


def test_where_nothing_was_mapped_nothing_is_missing() -> None:
    mapped = [(BASE + PAGE, PAGE), (BASE + 3 * PAGE, 2 * PAGE)]
    for number, is_missed in enumerate([False, True, False, True, True, False]):
        finished = CopiedMemory({}, mapped)
        assert try_read(finished, BASE + number * PAGE + 8, 8) is None
        assert list(finished.misses) == [BASE + number * PAGE] * is_missed


def test_what_is_copied_along_needs_not_to_be_asked_for() -> None:
    original = Holey()
    recording = RecordingMemory(original)
    recording.along = [(BASE + PAGE, 2 * PAGE), (BASE + 5 * PAGE, PAGE)]
    assert recording.pages_along == {BASE + PAGE, BASE + 2 * PAGE, BASE + 5 * PAGE}
    assert not original.reads
    copy = Copy(recording.pages, original, recording.pages_along)
    copy.read()
    assert CopiedMemory(copy.pages).read(BASE + PAGE, 2 * PAGE) == original.data[PAGE : 3 * PAGE]
