"""What a futex call tells, and what must not be believed of memory that only looks like a lock."""

from __future__ import annotations

import struct
import time

import pytest

from lastwords.capture.architectures import this_machine
from lastwords.capture.captured import Captured, KernelThread, Syscall
from lastwords.capture.kernel.futex import Futex, find_word, read_futex
from lastwords.capture.memory import ReadError, unreadable
from lastwords.capture.procfs import Mapping
from lastwords.cpython.layouts import load_layout
from lastwords.cpython.structs import Structs
from lastwords.cpython.waiting.candidates import is_alive
from lastwords.cpython.waiting.parking import find_mapping

WORD, TIMEOUT = 0x1000, 0x2000
WAIT, WAKE, LOCK_PI, BITSET, REALTIME, PRIVATE = 0, 1, 6, 9, 256, 128


class Bytes:
    """A memory that has some bytes at one address."""

    def __init__(self, address: int, data: bytes) -> None:
        self.address, self.data = address, data

    def read(self, address: int, size: int) -> bytes:
        start = address - self.address
        if not 0 <= start <= len(self.data) - size:
            raise unreadable(address, size, "not there")
        return self.data[start : start + size]

    def read_many(self, ranges: object) -> list[bytes | None]:
        raise NotImplementedError


def futex(
    operation: int, timeout: int = 0, *, live: bool = True, name: str = "futex", word: int = WORD
) -> Futex | None:
    memory = Bytes(TIMEOUT, struct.pack("<qq", 100, 500_000_000))
    call = Syscall(202, name, (word, operation, 2, timeout, 0, 0))
    captured = Captured(1, memory, [], [], this_machine(), "a test", is_live=live)
    return read_futex(KernelThread(1, syscall=call), captured)


def test_only_who_sleeps_waits() -> None:
    assert futex(WAIT) == Futex(WORD)
    assert futex(WAIT | PRIVATE) == Futex(WORD)
    assert futex(WAKE) is None
    assert futex(WAIT, name="read") is None
    assert futex(WAIT, name="restart_syscall") == Futex(WORD, is_restarted=True)
    assert futex(WAIT, name="restart_syscall", word=WORD + 1) is None


@pytest.mark.parametrize(
    ("number", "result", "expected"),
    [(202, -110, WORD), (202, 0, None), (42, -110, None), (-1, -110, None)],  # 42: connect, which has that result, too
)
def test_who_waits_in_short_turns_is_between_two(number: int, result: int, expected: int | None) -> None:
    words = {"orig_rax": number, "rax": result, "rdi": WORD}
    registers = {name: value % (1 << 64) for name, value in words.items()}
    assert find_word(KernelThread(1, registers=registers)) == expected


@pytest.mark.parametrize(("value", "operation", "woken"), [(2, WAIT, False), (3, WAIT, True), (3, LOCK_PI, False)])
def test_a_word_that_has_changed_since_has_woken_who_sleeps_on_it(value: int, operation: int, woken: bool) -> None:
    memory = Bytes(WORD, struct.pack("<I", value))
    call = Syscall(202, "futex", (WORD, operation, 2 | 1 << 32, 0, 0, 0))  # the kernel compares 32 bits
    captured = Captured(1, memory, [], [], this_machine(), "a test")
    assert read_futex(KernelThread(1, syscall=call), captured) == Futex(WORD, is_woken=woken)


def test_the_word_of_who_sleeps() -> None:
    arguments = (WORD, BITSET, 2, TIMEOUT, 0, 0)
    assert find_word(KernelThread(1, syscall=Syscall(202, "futex", arguments))) == WORD
    assert find_word(KernelThread(1, syscall=Syscall(0, "read", arguments))) is None
    assert find_word(KernelThread(1)) is None


def test_until_is_told_where_it_is_known() -> None:
    assert futex(BITSET | REALTIME, TIMEOUT) == Futex(WORD, until=100.5)
    assert futex(WAIT, TIMEOUT) == Futex(WORD, seconds=100.5)  # relative: nobody knows since when
    assert futex(BITSET, TIMEOUT, live=False) == Futex(WORD)  # a clock that began with another machine's boot
    assert futex(BITSET | REALTIME, TIMEOUT + 8) == Futex(WORD)  # unreadable
    found = futex(BITSET, TIMEOUT)
    assert found is not None
    assert found.until == pytest.approx(time.time() - time.monotonic() + 100.5, abs=1)


@pytest.mark.parametrize(("count", "alive"), [(1, True), (3, True), (0, False), (0x7F12_3456_7890, False)])
def test_what_was_freed_is_no_lock(count: int, alive: bool) -> None:
    layout = load_layout("3.12")
    assert layout is not None
    assert is_alive(Structs(Bytes(0x5000, struct.pack("<QQ", count, 0x9000)), layout), 0x5000) is alive
    with pytest.raises(ReadError):
        is_alive(Structs(Bytes(0x5000, b""), layout), 0x5000)


def test_a_mapping_is_found_by_address() -> None:
    maps = [Mapping(start, start + 16, "rw-p", 0, 0, 0, "") for start in (16, 32, 64)]
    assert [find_mapping(maps, address) for address in (15, 16, 31, 32, 48, 64, 80)] == [
        None, maps[0], maps[0], maps[1], None, maps[2], None
    ]  # fmt: skip
