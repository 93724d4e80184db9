"""Where CPython keeps what: the offsets of one release.

A reader asks `layout.offset(struct, field)` and `layout.has(struct, field)`, never for a version. What DWARF does
not tell (how a line table is coded, what the low bits of a frame's slot mean) is in `Formats`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

TABLES = Path(__file__).parent


class Field(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A field of a struct: bytes from its start, bytes of it; `shift` and `bits` where it is a bit field."""

    offset: int
    size: int
    shift: int | None = None
    bits: int | None = None

    def of(self, word: int) -> int:
        """The bit field out of the word that it is part of; the word itself where it is none."""
        return word if self.bits is None else word >> (self.shift or 0) & (1 << self.bits) - 1


class Struct(msgspec.Struct, frozen=True):
    """A struct of the target: `size` in bytes, its fields by their dotted names."""

    size: int
    fields: dict[str, Field]


class Formats(msgspec.Struct, frozen=True):
    """What a release does that no offset tells.

    lines: "unsigned lnotab" (2.7), "lnotab" (3.6 to 3.9), "linetable" (3.10, PEP 626), "locations" (3.11, PEP 657)
    lasti_unit: bytes that one step of `f_lasti` counts
    pointer_mask: bits of a frame's slot that belong to the pointer (`_PyStackRef` tags the others)
    values_order: where a split dict keeps its insertion order: nowhere, before its values or after them
    managed_dict: where an instance keeps its attributes if its type says "managed": see attributes.py
    text: "bytes" where `str` is a byte string
    exception_comma: whether repr() of an exception with one argument has a comma behind it (to 3.6)
    """

    lines: Literal["unsigned lnotab", "lnotab", "linetable", "locations"]
    lasti_unit: int = 1
    pointer_mask: int = 0xFFFF_FFFF_FFFF_FFFF
    values_order: Literal["none", "before", "after"] = "none"
    managed_dict: Literal["none", "two words", "tagged word", "inline values"] = "none"
    text: Literal["bytes", "unicode"] = "unicode"
    exception_comma: bool = False


class Layout(msgspec.Struct, frozen=True):
    """All of one release. `provenance` says which build it was read from."""

    release: str
    provenance: dict[str, str]
    formats: Formats
    structs: dict[str, Struct]
    debug_offsets: dict[str, int] = {}

    def has(self, struct: str, field: str = "") -> bool:
        """Whether this release has the struct, and the field in it."""
        found = self.structs.get(struct)
        return found is not None and (not field or field in found.fields)

    def field(self, struct: str, field: str) -> Field:
        """Where the field is. Raises KeyError where this release has none: ask `has` first."""
        return self.structs[struct].fields[field]

    def offset(self, struct: str, field: str) -> int:
        """Bytes from the struct's start to the field."""
        return self.structs[struct].fields[field].offset

    def size(self, struct: str) -> int:
        """Bytes of the struct."""
        return self.structs[struct].size


@cache
def shipped_releases() -> tuple[str, ...]:
    """The releases ("2.7", "3.13") that ship with lastwords, oldest first."""
    files = (entry.name for entry in TABLES.iterdir())
    names = [name.removesuffix(".json") for name in files if name.endswith(".json")]
    return tuple(sorted(names, key=lambda name: [int(part) for part in name.split(".")]))


@cache
def load_layout(release: str) -> Layout | None:
    """The shipped layout of a release ("3.13"), or None."""
    if release not in shipped_releases():
        return None
    return msgspec.json.decode((TABLES / f"{release}.json").read_bytes(), type=Layout)
