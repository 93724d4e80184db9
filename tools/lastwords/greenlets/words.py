"""Finds words in large memory, fast: large reads, memmem(3) of the C library on each, 1 to 2 GB a second."""

from __future__ import annotations

import ctypes
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from lastwords.capture.memory import BATCH_LIMIT, PAGE, Memory, ProcessMemory, Range

WORD = 8
ROOM = 4 << 20  # bytes that are searched at once
LOW = 2  # bytes in which words that are near each other differ
HITS_LIMIT = 4_000_000  # of one search: more are noise

_memmem = ctypes.CDLL(None).memmem
_memmem.restype = ctypes.c_void_p
_memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

Hit = tuple[int, int]  # where, and which word


Needle = tuple[bytes, int, frozenset[int]]  # what is searched, where in a word it stands, which words are meant


def find_words(
    memory: Memory, ranges: Sequence[Range], words: Sequence[int], *, are_near: bool = False
) -> Iterator[Hit]:
    """Every aligned place in `ranges` at which one of `words` stands. What cannot be read any more is skipped.

    are_near: words that differ in their lowest bytes alone are found in one pass; for what little else points near to
    """
    if not words:
        return
    needles = _make_needles(words, are_near=are_near)
    room = ctypes.create_string_buffer(ROOM)
    start = ctypes.addressof(room)
    hits = 0
    for batch in _make_batches(ranges):
        for done in _read_batch(memory, batch, start):
            for hit in _search(done, start, needles):
                hits += 1
                if hits > HITS_LIMIT:
                    return
                yield hit


def _make_batches(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    """Ranges that fit into the room together, cut where they do not."""
    batch: list[Range] = []
    free = ROOM
    for start, whole in ranges:
        address, end = start, start + whole
        while address < end:
            part = min(end - address, free)
            batch.append((address, part))
            address, free = address + part, free - part
            if not free or len(batch) == BATCH_LIMIT:
                yield batch
                batch, free = [], ROOM
    if batch:
        yield batch


def _read_batch(memory: Memory, batch: list[Range], start: int) -> Iterator[list[Range]]:
    """What of the batch is in the room, from its start on; several times, where something was not to be had."""
    if isinstance(memory, ProcessMemory):
        got = memory.read_into(batch, start)
        if got == sum(size for _, size in batch):
            yield batch
            return
    for address, size in batch:
        whole = memory.read_many([(address, size)])[0]
        pieces = [(address, whole)] if whole else _read_pages(memory, address, size)
        for at, data in pieces:
            if data:
                ctypes.memmove(start, data, len(data))
                yield [(at, len(data))]


def _read_pages(memory: Memory, address: int, size: int) -> Iterator[tuple[int, bytes | None]]:
    """Page by page, 64 at once while they are all there."""
    step = 64 * PAGE
    for at in range(address, address + size, step):
        part = min(step, address + size - at)
        data = memory.read_many([(at, part)])[0]
        if data is not None:
            yield at, data
        else:
            pages = [(page, PAGE) for page in range(at, at + part, PAGE)]
            yield from ((page, one) for (page, _), one in zip(pages, memory.read_many(pages), strict=True))


def _make_needles(words: Sequence[int], *, are_near: bool) -> list[Needle]:
    """Without zeros at their ends: what ends in a rare byte is found twice as fast."""
    data = [word.to_bytes(WORD, "little").rstrip(b"\0") for word in words]
    shared = {one[LOW:] for one in data}
    if are_near and len(shared) == 1 and (needle := shared.pop()):
        return [(needle, LOW, frozenset(words))]
    return [(one, 0, frozenset([word])) for one, word in zip(data, words, strict=True)]


def _search(ranges: list[Range], start: int, needles: Sequence[Needle]) -> Iterator[Hit]:
    """Hits in the room, which holds these ranges one behind the other; each begins at a page, so no word is cut."""
    offsets = [0]
    for _, size in ranges:
        offsets.append(offsets[-1] + size)
    end = start + offsets[-1]
    for needle, shift, words in needles:
        at = start
        while found := _memmem(at, end - at, needle, len(needle)):
            at = found + 1
            offset = found - start - shift
            if offset % WORD:
                continue
            word = ctypes.c_uint64.from_address(start + offset).value
            if word in words:
                index = bisect_right(offsets, offset) - 1
                yield ranges[index][0] + offset - offsets[index], word
