"""Which bytes are the stack of a thread, and how much of it is copied where there is too much."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastwords.capture import procfs
from lastwords.capture.captured import KernelThread
from lastwords.capture.memory import PAGE, Memory, ProcessMemory
from lastwords.capture.procfs import Mapping
from lastwords.capture.stop import stacks
from lastwords.capture.stop.copied import Pages
from lastwords.capture.stop.stacks import PTHREAD_SIZE, RED_ZONE, Stacks, share

ROOM = 16
PIECE = PAGE * ROOM
NINE = range(2, 11)
_kept: list[object] = []


class Plain:
    """Some memory that is no process's own: read by other means than process_vm_readv."""

    def __init__(self) -> None:
        self.memory = ProcessMemory(os.getpid())

    def read(self, address: int, size: int) -> bytes:
        return self.memory.read(address, size)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        return self.memory.read_many(ranges)


@pytest.fixture
def begin() -> int:
    """Where ROOM pages of ours begin that are filled at random."""
    room = ctypes.create_string_buffer(os.urandom(PIECE + PAGE), PIECE + PAGE)
    _kept.append(room)
    return (ctypes.addressof(room) + PAGE - 1) & -PAGE


def thread(sp: int | None, ident: int | None = None, tid: int = 1) -> KernelThread:
    return KernelThread(tid, sp=sp, ident=ident)


def copy(maps: list[Mapping], threads: list[KernelThread], memory: Memory | None = None, **more: Pages) -> Stacks:
    made = Stacks(maps, [], Plain())
    text = "".join(f"{one.start:x}-{one.end:x} rw-p 00000000 00:00 0 \n" for one in maps)
    return read(made, memory or ProcessMemory(os.getpid()), threads, text, more.get("known", {}))


def read(
    made: Stacks, memory: Memory, threads: list[KernelThread], text: str = "", known: Pages | None = None
) -> Stacks:
    made.read(memory, threads, lambda: text, known or {})
    made.add_to(dict(known or {}))
    return made


def pages_of(made: Stacks) -> dict[int, bytes]:
    pages: Pages = {}
    made.add_to(pages)
    return {number: bytes(page) for number, page in pages.items() if page is not None}


def stack(begin: int, path: str = "") -> Mapping:
    return Mapping(begin, begin + PIECE, "rw-p", 0, 0, 0, path)


@pytest.mark.parametrize("memory", [None, Plain()])
def test_from_below_the_stack_pointer_to_the_end(begin: int, memory: Memory | None) -> None:
    made = copy([stack(begin)], [thread(begin + 3 * PAGE)], memory)
    pages = pages_of(made)
    assert sorted(pages) == list(range(begin + 2 * PAGE, begin + PIECE, PAGE)), "256 bytes below are a page more"
    assert all(page == ctypes.string_at(number, PAGE) for number, page in pages.items())
    assert made.problems == []


def test_it_ends_above_its_own_thread_struct(begin: int) -> None:
    """Where there are no guard pages, the next thread's stack is in the same mapping."""
    made = copy([stack(begin)], [thread(begin + 3 * PAGE + RED_ZONE, begin + 6 * PAGE)])
    assert made.ranges == [(begin + 3 * PAGE, 3 * PAGE + (PTHREAD_SIZE + PAGE - 1 & -PAGE))]


def test_without_registers_the_struct_is_found_by_its_contents(begin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "SHALLOW", PAGE)
    ident = begin + 5 * PAGE + 128
    for at in (ident, ident + 16):
        ctypes.memmove(at, ident.to_bytes(8, "little"), 8)
    made = Stacks([stack(begin)], [thread(begin + RED_ZONE)], Plain())
    read(made, Plain(), [thread(begin + RED_ZONE)])
    assert made.ranges == [(begin, 6 * PAGE)]


def test_where_nobody_knows_how_deep_it_is(begin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "UNSURE_LIMIT", 4 * PAGE)
    assert copy([stack(begin)], [thread(begin + 2 * PAGE + RED_ZONE)]).ranges == [(begin + 2 * PAGE, 5 * PAGE)]


def test_what_was_copied_already_is_not_read_again(begin: int) -> None:
    known: Pages = {begin + 4 * PAGE: b"", begin + 5 * PAGE: None}
    made = copy([stack(begin)], [thread(begin + 3 * PAGE + RED_ZONE)], known=known)
    assert set(range(begin + 3 * PAGE, begin + PIECE, PAGE)) - set(pages_of(made)) == set(known)


def test_the_main_threads_stack_grows_downwards(begin: int) -> None:
    made = Stacks([stack(begin + PAGE, "[stack]")], [], Plain())
    read(made, Plain(), [thread(begin + RED_ZONE)])
    assert made.ranges == [(begin, PIECE + PAGE)]


def test_one_that_was_mapped_meanwhile_is_found(begin: int) -> None:
    made = Stacks([], [], Plain())
    text = f"{begin:x}-{begin + PIECE:x} rw-p 00000000 00:00 0 \n"
    assert procfs.parse_maps(text) == [stack(begin)]
    read(made, ProcessMemory(os.getpid()), [thread(begin + RED_ZONE)], text)
    assert made.ranges == [(begin, PIECE)]


def test_what_is_not_copied_is_said(begin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "STACK_LIMIT", 4 * PAGE)
    lost = [thread(0x1000, tid=tid) for tid in range(2, 14)]
    made = copy([stack(begin)], [thread(begin + RED_ZONE), *lost, thread(None, tid=99)])
    assert sorted(pages_of(made)) == list(range(begin, begin + 4 * PAGE, PAGE)), "the innermost"
    assert made.problems == [
        "the C stack of thread 1 is 64 KiB deep; the outermost 48 KiB were not captured",
        *(f"the C stack of thread {tid} was not captured: its stack pointer points to no memory" for tid in NINE),
        "and so for 3 more threads",
    ]  # fmt: skip


def test_of_what_is_copied_beforehand_only_what_has_moved_is_read(begin: int) -> None:
    stays, moves = thread(begin + 12 * PAGE + RED_ZONE, tid=1), thread(begin + 8 * PAGE + RED_ZONE, tid=2)
    made = Stacks([stack(begin)], [], Plain())
    expected = made.expect([stays, moves])
    assert expected == set(range(begin + 8 * PAGE, begin + PIECE, PAGE))
    pages: Pages = dict.fromkeys(expected, b"copied")
    made.read(Plain(), [stays, thread(begin + 6 * PAGE + RED_ZONE, tid=2)], lambda: "", pages)
    made.add_to(pages)
    assert {number for number, page in pages.items() if page != b"copied"} == {begin + 6 * PAGE, begin + 7 * PAGE}
    assert made.ranges == [(begin + 12 * PAGE, 4 * PAGE), (begin + 6 * PAGE, 10 * PAGE)]
    assert made.problems == []


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(0, 5000))
def test_the_greatest_wishes_are_cut_to_one_size(wishes: list[int], total: int) -> None:
    given_ = share(wishes, total)
    assert sum(given_) <= total
    cut = {got for got, wish in zip(given_, wishes, strict=True) if got < wish}
    assert len(cut) <= 1
    assert all(got <= wish for got, wish in zip(given_, wishes, strict=True))
    if cut:
        assert max(given_) == cut.pop()
        assert total - sum(given_) < len(wishes)
