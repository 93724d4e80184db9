"""The kernel's tids are found in the C library's structs, wherever that keeps them, or not at all."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from lastwords.capture.memory import ReadError
from lastwords.cpython.pthread import SIZE, find_tids

Words = Mapping[int, Mapping[int, int]]  # by ident: what stands at a byte
TIDS = [101, 102, 103, 104]
FAR = 1 << 20  # bytes between two threads' structs


class Structs:
    """A memory that holds nothing but some threads' structs, the last `cut` bytes of each missing."""

    def __init__(self, words: Words, cut: int = 0) -> None:
        self.blocks = {ident: _pack(at)[: SIZE - cut] for ident, at in words.items()}

    def read(self, address: int, size: int) -> bytes:
        if len(self.blocks.get(address, b"")) < size:
            raise ReadError("not there", "unreadable")
        return self.blocks[address][:size]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        raise NotImplementedError


def _pack(words: Mapping[int, int]) -> bytes:
    data = bytearray(SIZE)
    for at, word in words.items():
        struct.pack_into("<I", data, at, word)
    return bytes(data)


def find(words: Words, known: Mapping[int, int] | None = None, cut: int = 0) -> dict[int, int]:
    known = known or {}
    return find_tids(Structs(words, cut), words.keys() - known.keys(), TIDS, known)


@given(st.integers(0, SIZE // 4 - 1), st.permutations(TIDS))
def test_wherever_the_tid_is(place: int, order: list[int]) -> None:
    words = {FAR * number: {place * 4: tid} for number, tid in enumerate(order, 1)}
    assert find(words) == {FAR * number: tid for number, tid in enumerate(order, 1)}


def test_a_thread_that_has_ended_has_a_zero_there() -> None:
    assert find({FAR: {720: 101}, 2 * FAR: {}, 3 * FAR: {720: 103, 8: 102}}) == {FAR: 101, 2 * FAR: 0, 3 * FAR: 103}


def test_the_same_id_twice_is_no_tid() -> None:
    """Older libraries have the pid beside the tid: of one thread, where both are the same number, it does no harm."""
    assert find({FAR: {720: 101, 724: 101}, 2 * FAR: {720: 102, 724: 101}}) == {FAR: 101, 2 * FAR: 102}
    assert find({FAR: {720: 101, 724: 101}}) == {FAR: 101}


def test_two_places_that_do_not_agree_say_nothing() -> None:
    words = {FAR: {720: 101, 40: 102}, 2 * FAR: {720: 102, 40: 101}}
    assert find(words) == {}
    assert find(words, {FAR: 101}) == {2 * FAR: 102}, "one that is known decides"


def test_what_is_no_tid_of_this_process_says_nothing() -> None:
    assert find({FAR: {720: 101}, 2 * FAR: {720: 999}}) == {}
    assert find({FAR: {}, 2 * FAR: {}}) == {}
    assert find({}) == {}


def test_a_struct_at_the_end_of_its_page() -> None:
    """musl's is shorter than glibc's: what follows need not be mapped."""
    ident = FAR - 256
    assert find_tids(Structs({ident: {48: 101}}, cut=SIZE - 256), [ident], TIDS, {}) == {ident: 101}
    assert find_tids(Structs({}), [ident], TIDS, {}) == {}
