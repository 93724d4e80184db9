"""Sets and frozensets: one hash table (Objects/setobject.c)."""

from __future__ import annotations

from lastwords.capture.memory import ReadError
from lastwords.cpython.structs import Structs
from lastwords.cpython.text import read_text_prefix
from lastwords.cpython.types import type_of

TABLE_LIMIT = 1 << 23  # bytes: of 300,000 members
DUMMY_HASH = 2**64 - 1


def read_set(structs: Structs, address: int) -> list[int]:
    """The members, in the table's order, without the places of those that were removed."""
    count = structs.number(address, "PySetObject", "mask") + 1
    size = structs.layout.size("setentry")
    if count * size > TABLE_LIMIT:
        raise ReadError(f"the set at {address:#x} would have {count} places")
    start = structs.number(address, "PySetObject", "table")
    words = structs.pointers(start, count * size // 8)
    key, hash_ = (structs.layout.offset("setentry", name) // 8 for name in ("key", "hash"))
    pairs = [(words[at + key], words[at + hash_]) for at in range(0, len(words), size // 8)]
    has_removed = structs.number(address, "PySetObject", "fill") != structs.number(address, "PySetObject", "used")
    return [key for key, hash_ in pairs if key and not (has_removed and _is_dummy(structs, key, hash_))]


def _is_dummy(structs: Structs, key: int, hash_: int) -> bool:
    """Whether it marks a removed member: by its hash, in 2.7 by being the string "<dummy key>"."""
    if structs.layout.formats.text == "unicode":
        return hash_ == DUMMY_HASH
    return type_of(structs, key).is_static("str") and read_text_prefix(structs, key, 20)[0] == "<dummy key>"
