"""Where greenlet keeps what: the shipped table, by the releases of Python and of greenlet.

Its names of structs and fields are in dwarf.py. A release that is not in the table is read by the DWARF of the
target's own module, where that has it (PyPI's wheels do); else it is refused, by name.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import msgspec

from lastwords.cpython.layouts import Struct

TABLE = Path(__file__).parent / "layouts.json"


class Entry(msgspec.Struct, frozen=True):
    """The layout of greenlet's releases `first` to `last` for one Python; `builds`: which were looked at, build-ids."""

    python: str
    first: str
    last: str
    builds: list[str]
    structs: dict[str, Struct]


class Table(msgspec.Struct, frozen=True):
    """All entries, and where they come from."""

    origin: str
    entries: list[Entry]


class Layout(msgspec.Struct, frozen=True):
    """The structs of one release: see dwarf.FIELDS."""

    structs: dict[str, Struct]

    def has(self, struct: str, field: str = "") -> bool:
        """Whether this release has the struct, and the field in it."""
        found = self.structs.get(struct)
        return found is not None and (not field or field in found.fields)

    def offset(self, struct: str, field: str) -> int:
        """Bytes from the struct's start to the field. Raises KeyError where there is none: ask `has` first."""
        return self.structs[struct].fields[field].offset

    def size(self, struct: str) -> int:
        """Bytes of the struct."""
        return self.structs[struct].size


def parse_version(text: str) -> tuple[int, ...]:
    """ "3.1.1.post0" as (3, 1, 1): what comes behind the numbers changes no layout."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


@cache
def load_table() -> Table:
    """The shipped table."""
    return msgspec.json.decode(TABLE.read_bytes(), type=Table)


def find_layout(python: str, version: str) -> Layout | None:
    """The shipped layout of a release of greenlet ("3.1.1") for a Python ("3.11"); None for one that is not known."""
    wanted = parse_version(version)
    for entry in load_table().entries:
        if entry.python == python and parse_version(entry.first) <= wanted <= parse_version(entry.last):
            return Layout(entry.structs)
    return None
