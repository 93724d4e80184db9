"""Fields of the target's structs as numbers: memory and layout in one hand.

Everything that reads CPython reads through this. Raises ReadError for memory that is not there; a field that the
layout does not have is a bug of the reader (KeyError): ask `has` first.
"""

from __future__ import annotations

from functools import cached_property

from lastwords.capture.memory import Memory, ReadError
from lastwords.cpython.layouts import Field, Layout

POINTER = 8
CODE_UNIT = 2  # bytes of an instruction from 3.6 on
# tp_flags (Include/object.h), the same from 2.6 on; MANAGED_DICT from 3.11, INLINE_VALUES from 3.13
INLINE_VALUES = 1 << 2
MANAGED_DICT = 1 << 4
HEAPTYPE = 1 << 9
INT, LONG, LIST, TUPLE, BYTES, UNICODE, DICT, EXCEPTION, TYPE = (1 << bit for bit in range(23, 32))


class Structs:
    """The memory of one moment, seen through a layout."""

    def __init__(self, memory: Memory, layout: Layout) -> None:
        self.memory = memory
        self.layout = layout
        self.names: dict[int, dict[str, int]] = {}  # the items of dicts that were searched in this moment, by address
        self.nesting = 0  # exceptions whose text is being told: one may contain itself
        self._fields: dict[tuple[str, str], Field] = {}
        self.flags: dict[int, int] = {}
        self.kinds: dict[int, object] = {}  # what has been read of types in this moment, by address

    @cached_property
    def unicode_width(self) -> int:
        """Bytes of a character of 2.7's `unicode`: four, unless somebody knows better."""
        return 4

    def has(self, struct: str, field: str = "") -> bool:
        """Whether this release has the struct, and the field in it."""
        return self.layout.has(struct, field)

    def number(self, address: int, struct: str, field: str) -> int:
        """An unsigned field of the struct at `address`: a pointer, a size, a flag, a bit field."""
        where = self._fields.get((struct, field)) or self._find_field(struct, field)
        value = int.from_bytes(self.memory.read(address + where.offset, where.size), "little")
        return value if where.bits is None else where.of(value)

    def _find_field(self, struct: str, field: str) -> Field:
        where = self._fields[struct, field] = self.layout.field(struct, field)
        return where

    def signed(self, address: int, struct: str, field: str) -> int:
        """A signed field."""
        where = self.layout.field(struct, field)
        return int.from_bytes(self.memory.read(address + where.offset, where.size), "little", signed=True)

    def at(self, address: int, struct: str, field: str) -> int:
        """The address of the field itself."""
        return address + self.layout.offset(struct, field)

    def pointer(self, address: int) -> int:
        """The pointer that stands at `address`."""
        return int.from_bytes(self.memory.read(address, POINTER), "little")

    def pointers(self, address: int, count: int) -> list[int]:
        """`count` pointers from `address` on."""
        data = self.memory.read(address, count * POINTER)
        return [int.from_bytes(data[at : at + POINTER], "little") for at in range(0, len(data), POINTER)]

    def object_in_slot(self, address: int, struct: str, field: str) -> int:
        """The object that a frame's slot refers to, without the tags that some releases put in the low bits."""
        return self.number(address, struct, field) & self.layout.formats.pointer_mask

    def c_string(self, address: int, limit: int = 1024) -> str:
        """A C string of at most `limit` bytes."""
        data = b""
        while len(data) < limit:
            step = 64 - (address + len(data)) % 64  # never past a page that may not be there
            part = self.memory.read(address + len(data), step)
            end = part.find(b"\0")
            if end >= 0:
                return (data + part[:end]).decode("utf-8", "backslashreplace")
            data += part
        raise ReadError(f"the C string at {address:#x} does not end within {limit} bytes")

    def type_flags(self, address: int) -> int:
        """`tp_flags` of the type of the object at `address`."""
        of_type = self.number(address, "PyObject", "ob_type")
        if of_type not in self.flags:
            self.flags[of_type] = self.number(of_type, "PyTypeObject", "tp_flags")
        return self.flags[of_type]
