"""The C library's own struct of a thread: which of the kernel's threads is behind a `pthread_t`.

CPython notes the kernel's id from 3.11 on. Before, a PyThreadState has `pthread_self()` alone: the address of the
thread's `struct pthread`, where the kernel itself puts the tid (CLONE_PARENT_SETTID) and a 0 when the thread ends
(CLONE_CHILD_CLEARTID). Its place differs by C library and release (glibc for x86-64: byte 720): it is found by its
contents, never assumed.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from itertools import islice

from lastwords.capture.memory import PAGE, Memory, ReadError

SIZE = 2304  # bytes of glibc's struct; musl's is shorter
TID = 4  # bytes
ENOUGH = 4  # structs that are searched for places where a tid may stand


def find_tids(
    memory: Memory, idents: Collection[int], tids: Collection[int], known: Mapping[int, int]
) -> dict[int, int]:
    """By `pthread_t` the kernel's tid, 0 for a thread that has ended; those of which it is not certain are missing.

    `tids` are all threads of the process, and `known` some tids by `pthread_t` that are certain. At the right place
    every thread's struct has another tid of this process, or 0. Where two places would say so but do not agree, or
    where one says so of no thread, nothing is certain.
    """
    blocks = {ident: words for ident in {*idents, *known} if (words := _read_words(memory, ident))}
    wanted = frozenset(tids)
    possible = [_pair(blocks, at, wanted, known) for at in _candidates(blocks, wanted)]
    most = max(map(_count, possible), default=0)
    best = [one for one in possible if _count(one) == most]
    if not most or any(one != best[0] for one in best):
        return {}
    return {ident: tid for ident, tid in best[0].items() if ident in idents}


def _read_words(memory: Memory, ident: int) -> tuple[int, ...]:
    """The struct as ints; as much of it as there is before the end of its page where what follows is not mapped."""
    for size in (SIZE, -ident % PAGE):
        try:
            data = memory.read(ident, size)
            return struct.unpack(f"<{size // TID}I", data[: size // TID * TID])
        except ReadError:
            continue
    return ()


def _candidates(blocks: Mapping[int, tuple[int, ...]], tids: frozenset[int]) -> set[int]:
    """Where in a struct a tid of this process stands; a few of the structs tell."""
    found = ([at for at, word in enumerate(words) if word in tids] for words in blocks.values())
    return {at for places in islice(filter(None, found), ENOUGH) for at in places}


def _pair(
    blocks: Mapping[int, tuple[int, ...]], at: int, tids: frozenset[int], known: Mapping[int, int]
) -> dict[int, int]:
    """The tids that stand at that place of each struct; nothing where one of them cannot be a tid."""
    found = {ident: words[at] for ident, words in blocks.items() if at < len(words)}
    living = [tid for tid in found.values() if tid]
    is_tid = len(set(living)) == len(living) and tids.issuperset(living)
    agrees = all(found[ident] == tid for ident, tid in known.items() if ident in found)
    return found if is_tid and agrees else {}


def _count(found: Mapping[int, int]) -> int:
    return sum(1 for tid in found.values() if tid)
