"""musl's condition variables, as they lie in memory, and what must not be taken for one."""

from __future__ import annotations

import struct

import pytest

from lastwords.capture.memory import unreadable
from lastwords.cpython.layouts import load_layout
from lastwords.cpython.musl import WAITERS_LIMIT, find_barriers
from lastwords.cpython.structs import Structs

COND, FIRST, SECOND = 0x10000, 0x20000, 0x30000


class Words:
    """A memory of 64-bit words by address."""

    def __init__(self, words: dict[int, int]) -> None:
        self.words = words

    def read(self, address: int, size: int) -> bytes:
        if address not in self.words:
            raise unreadable(address, size, "not there")
        return struct.pack("<Q", self.words[address])[:size]

    def read_many(self, ranges: object) -> list[bytes | None]:
        raise NotImplementedError


def barriers(words: dict[int, int]) -> list[int]:
    layout = load_layout("3.13")
    assert layout is not None
    return list(find_barriers(Structs(Words(words), layout), COND))


def waiter(address: int, previous: int, following: int, state: int = 0) -> dict[int, int]:
    return {address: previous, address + 8: following, address + 16: state}


def test_each_waiter_sleeps_on_its_own_word() -> None:
    words = {COND + 8: FIRST, **waiter(FIRST, 0, SECOND), **waiter(SECOND, FIRST, 0, state=1)}
    assert barriers(words) == [FIRST + 20, SECOND + 20]
    assert barriers({COND + 8: 0}) == []


@pytest.mark.parametrize(
    "words",
    [
        {},
        {COND + 8: 6},  # glibc's count of waiters
        {COND + 8: FIRST},
        {COND + 8: FIRST, **waiter(FIRST, SECOND, 0)},  # it does not come first
        {COND + 8: FIRST, **waiter(FIRST, 0, 0, state=77)},
        {COND + 8: FIRST + 1, **waiter(FIRST + 1, 0, 0)},
    ],
)
def test_what_is_no_list_of_waiters(words: dict[int, int]) -> None:
    assert barriers(words) == []


def test_a_list_that_comes_back_ends() -> None:
    assert barriers({COND + 8: FIRST, **waiter(FIRST, 0, FIRST)}) == [FIRST + 20]
    several = {COND + 8: FIRST, **waiter(FIRST, 0, SECOND), **waiter(SECOND, FIRST, FIRST)}
    assert len(barriers(several)) == 2 < WAITERS_LIMIT
