"""`collections.deque`: a chain of blocks (Modules/_collectionsmodule.c)."""

from __future__ import annotations

from lastwords.capture.memory import ReadError
from lastwords.cpython.structs import POINTER, Structs
from lastwords.cpython.text import read_length
from lastwords.cpython.types import Kind, bases

LINKS = 2  # of a block: to the left, to the right


def is_deque(structs: Structs, kind: Kind) -> bool:
    """Whether a type is `collections.deque`, or made from it: the one whose instances have that size."""
    return any(_is_own(structs, one) for one in bases(structs, kind))


def _is_own(structs: Structs, kind: Kind) -> bool:
    if kind.name != "collections.deque" or not structs.has("dequeobject", "leftblock"):
        return False
    return structs.number(kind.address, "PyTypeObject", "tp_basicsize") == structs.layout.size("dequeobject")


def count_deque(structs: Structs, address: int) -> int:
    """len() of a deque."""
    has_len = structs.has("dequeobject", "len")
    return structs.number(address, "dequeobject", "len") if has_len else read_length(structs, address)


def read_deque(structs: Structs, address: int, limit: int) -> list[int]:
    """The addresses of its items, from the left, at most `limit`. Raises ReadError."""
    per_block = structs.layout.size("BLOCK") // POINTER - LINKS
    block = structs.number(address, "dequeobject", "leftblock")
    at = structs.number(address, "dequeobject", "leftindex")
    wanted = min(count_deque(structs, address), limit)
    found: list[int] = []
    while len(found) < wanted:
        if not 0 <= at < per_block:
            raise ReadError(f"the deque at {address:#x} would begin at item {at} of {per_block}")
        part = min(wanted - len(found), per_block - at)
        found += structs.pointers(structs.at(block, "BLOCK", "data") + at * POINTER, part)
        block, at = structs.number(block, "BLOCK", "rightlink"), 0
    return found
