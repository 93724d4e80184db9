"""The two ways into a process's memory agree, and the cache is exact: tested on our own memory."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastwords.capture.memory import PAGE, CachedMemory, Memory, ProcessMemory, ProcMemMemory, ReadError

ROOM = mmap.mmap(-1, 8 * PAGE)
ROOM.write(bytes(number * 7 % 251 for number in range(8 * PAGE)))
START = ctypes.addressof(ctypes.c_char.from_buffer(ROOM))
WAYS: list[Callable[[], Memory]] = [
    lambda: ProcessMemory(os.getpid()),
    lambda: ProcMemMemory(os.getpid()),
    lambda: CachedMemory(ProcessMemory(os.getpid())),
]


@pytest.fixture(params=WAYS, ids=["process_vm_readv", "proc_mem", "cached"])
def memory(request: pytest.FixtureRequest) -> Memory:
    made: Memory = request.param()
    return made


@settings(deadline=None)
@given(start=st.integers(0, 8 * PAGE), size=st.integers(0, 3 * PAGE))
def test_every_way_reads_what_is_there(start: int, size: int) -> None:
    size = min(size, 8 * PAGE - start)
    for way in WAYS:
        assert way().read(START + start, size) == ROOM[start : start + size]


def test_many_ranges_come_in_order_with_holes(memory: Memory) -> None:
    ranges = [(START + 16 * number, 16) for number in range(1500)]
    ranges[7:7] = [(64, 8)]  # no memory there
    ranges.append((START, -1))
    ranges.append((2**64 - 4, 8))
    found = memory.read_many(ranges)
    assert len(found) == len(ranges)
    assert found[7] is None
    assert found[-2:] == [None, None]
    assert b"".join(data for data in found if data) == ROOM[: 16 * 1500]


@pytest.mark.parametrize(("address", "size"), [(0, 8), (64, 8), (2**64 - 8, 64), (-8, 8), (START, -1), (START, 2**40)])
def test_what_is_not_there_is_our_error(memory: Memory, address: int, size: int) -> None:
    with pytest.raises(ReadError):
        memory.read(address, size)


def test_no_process_is_our_error() -> None:
    with pytest.raises(ReadError, match="No such process") as caught:
        ProcessMemory(2**22 + 1).read(START, 8)
    assert caught.value.missing == "unreadable"


class Counting:
    """Counts what is asked of another memory."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.calls = 0

    def read(self, address: int, size: int) -> bytes:
        self.calls += 1
        return self.memory.read(address, size)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        self.calls += 1
        return self.memory.read_many(ranges)


def test_the_cache_asks_once_until_it_is_cleared() -> None:
    counting = Counting(ProcessMemory(os.getpid()))
    cached = CachedMemory(counting)
    cached.read_many([(START + PAGE * number, 8) for number in range(8)])
    assert counting.calls == 1
    before = cached.read(START, 8)
    ROOM[0:1] = b"\xff"
    assert cached.read(START, 8) == before
    assert counting.calls == 1
    cached.clear()
    assert cached.read(START, 1) == b"\xff"
    ROOM[0:1] = b"\x00"
