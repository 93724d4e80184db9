"""Fields of the target's structs as numbers: memory and layout in one hand.

Everything that reads CPython reads through this. Raises ReadError for memory that is not there; a field that the
layout does not have is a bug of the reader (KeyError): ask `has` first.
"""

from __future__ import annotations

import struct as binary
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from operator import itemgetter

import msgspec

from lastwords.capture.memory import Memory, ReadError
from lastwords.cpython.layouts import Field, Layout

POINTER = 8
LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}  # of the module `struct`, by bytes
CODE_UNIT = 2  # bytes of an instruction from 3.6 on
# tp_flags (Include/object.h), the same from 2.6 on; MANAGED_DICT from 3.11, INLINE_VALUES from 3.13
INLINE_VALUES = 1 << 2
MANAGED_DICT = 1 << 4
HEAPTYPE = 1 << 9
INT, LONG, LIST, TUPLE, BYTES, UNICODE, DICT, EXCEPTION, TYPE = (1 << bit for bit in range(23, 32))


Group = tuple[int, int, Callable[[bytes], tuple[int, ...]]]  # where its first field starts, bytes of all, how to unpack


class Start(msgspec.Struct, frozen=True):
    """Addresses of the first instruction of a code object, and of the first that a tracer sees."""

    first: int
    traceable: int


class Structs:
    """The memory of one moment, seen through a layout."""

    def __init__(self, memory: Memory, layout: Layout) -> None:
        self.memory = memory
        self.layout = layout
        self.nesting = 0  # exceptions whose text is being told: one may contain itself
        self._fields: dict[tuple[str, str], Field] = {}
        self._groups: dict[tuple[str, tuple[str, ...]], Group] = {}
        self.forget()

    def forget(self) -> None:
        """Forgets what was read of this moment; all of it is by address."""
        self.names: dict[int, dict[str, int]] = {}  # the items of dicts that were searched
        self.keys: dict[int, str | None] = {}  # the text of keys of dicts, None for one that is no string
        self.flags: dict[int, int] = {}  # of types,
        self.kinds: dict[int, object] = {}  # what they are,
        self.dict_offsets: dict[int, int] = {}  # where their instances have their dict,
        self.members: dict[int, list[tuple[str, int]]] = {}  # (name, byte) of the slots of their instances,
        self.lock_classes: dict[int, object] = {}  # which kind of lock these are: see classes.py
        self.codes: dict[int, object] = {}  # code objects,
        self.starts: dict[int, Start | None] = {}  # their first instructions,
        self.bytecode: dict[tuple[str, int], object] = {}  # what follows from their instructions,
        self.slots: dict[int, object] = {}  # the names of their local variables,
        self.modules: dict[int, str | None] = {}  # and of the modules that globals belong to
        self.running: frozenset[int] | None = None  # all Thread objects that run

    @cached_property
    def unicode_width(self) -> int:
        """Bytes of a character of 2.7's `unicode`: four, unless somebody knows better."""
        return 4

    @cached_property
    def plain_text(self) -> int:
        """The bits of a string's `state` that are all set where its characters lie behind it, one byte each."""
        fields = [self.layout.field("PyASCIIObject", f"state.{name}") for name in ("compact", "ascii")]
        return sum(1 << (field.shift or 0) for field in fields)

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

    def numbers(self, address: int, struct: str, *fields: str) -> tuple[int, ...]:
        """Several unsigned fields in a single read; no bit fields. For what is read thousands of times."""
        start, size, unpack = self._groups.get((struct, fields)) or self._find_group(struct, fields)
        return unpack(self.memory.read(address + start, size))

    def group(self, struct: str, fields: tuple[str, ...]) -> Group:
        """How these fields are read in one go, by somebody who does so thousands of times."""
        return self._groups.get((struct, fields)) or self._find_group(struct, fields)

    def _find_group(self, struct: str, fields: tuple[str, ...]) -> Group:
        group = self._groups[struct, fields] = make_group([self._find_field(struct, field) for field in fields])
        return group

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
        return list(binary.unpack(f"<{count}Q", self.memory.read(address, count * POINTER)))

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


def make_group(fields: list[Field]) -> Group:
    """How fields that lie in any order are unpacked in one go."""
    start = min(field.offset for field in fields)
    size = max(field.offset + field.size for field in fields) - start
    order = sorted(range(len(fields)), key=lambda at: fields[at].offset)
    if any(fields[one].offset + fields[one].size > fields[other].offset for one, other in pairwise(order)):
        return start, size, _unpack_each(start, fields)  # of a union, or of a layout that is wrong
    form, end = "<", start
    for at in order:
        form += f"{fields[at].offset - end}x{LETTERS[fields[at].size]}"
        end = fields[at].offset + fields[at].size
    unpack = binary.Struct(form).unpack
    places = [order.index(at) for at in range(len(fields))]
    if places == order == list(range(len(fields))):
        return start, size, unpack
    in_order = itemgetter(*places)
    return start, size, lambda data: in_order(unpack(data))


def _unpack_each(start: int, fields: list[Field]) -> Callable[[bytes], tuple[int, ...]]:
    parts = [(binary.Struct(f"<{LETTERS[field.size]}").unpack_from, field.offset - start) for field in fields]
    return lambda data: tuple(unpack(data, at)[0] for unpack, at in parts)
