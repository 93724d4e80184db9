"""Fields of Cython's extension types, which have no names in their instances, only getters: a few instructions of C.

`cdef readonly object args` becomes a getter that begins by loading the field from the object, its first argument
(x86-64: `mov rax, [rdi+0x48]`). The load tells where the field is, in every release and build, without a table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lastwords.cpython.attributes import find_attribute
from lastwords.cpython.classes import read_mro
from lastwords.cpython.dicts import find_item
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.layouts import Field
from lastwords.cpython.members import read_members
from lastwords.cpython.structs import POINTER, Group, make_group
from lastwords.cpython.types import Kind, type_of

CODE_SIZE = 32  # bytes of a getter that are looked at; counting references comes first in some builds
# mov r64, [rdi+n] and movsxd r64, [rdi+n] (the latter also by rbx, to which rdi was copied), with 8 or 32 bits of n
NEAR, FAR = rb"[\x47\x4f\x57\x5f\x67\x6f\x77\x7f](.)", rb"[\x87\x8f\x97\x9f\xa7\xaf\xb7\xbf](....)"
OBJECT = re.compile(rb"[\x48\x4c]\x8b(?:" + NEAR + rb"|" + FAR + rb")", re.DOTALL)
COPIED = rb"[\x43\x4b\x53\x5b\x63\x6b\x73\x7b](.)"
NUMBER = re.compile(rb"[\x48\x4c]\x63(?:" + NEAR + rb"|" + COPIED + rb"|" + FAR + rb")", re.DOTALL)
NUMBER_SIZE = 4  # of an `int`


class Fields:
    """Reads fields of instances in one moment; where a class has them is found once."""

    def __init__(self, interp: Interpreter) -> None:
        self.interp = interp
        self._attributes: dict[tuple[int, str], int | None] = {}
        self._offsets: dict[tuple[int, str, bool], int | None] = {}

    def read(self, address: int, name: str) -> int | None:
        """The object that an instance has under this name: by a getter of Cython's, a slot, or its dict.

        None where it has none. Raises ReadError.
        """
        kind = type_of(self.interp, address)
        offset = self._find_offset(kind, name)
        if offset is not None:
            return self.interp.pointer(address + offset) or None
        found = dict(read_members(self.interp, address, kind)).get(name)
        return found or find_attribute(self.interp, address, name)

    def read_int(self, address: int, name: str) -> int | None:
        """The same for a `cdef readonly int`; None where there is no such getter. Raises ReadError."""
        offset = self._find_offset(type_of(self.interp, address), name, is_number=True)
        if offset is None:
            return None
        return int.from_bytes(self.interp.memory.read(address + offset, NUMBER_SIZE), "little", signed=True)

    def find_group(self, kind: Kind, objects: Sequence[str], number: str) -> Group | None:
        """How its type, these objects, a number are read in one go from an instance; None: not all have getters."""
        offsets = [self._find_offset(kind, name) for name in objects]
        last = self._find_offset(kind, number, is_number=True)
        fields = [Field(offset, POINTER) for offset in offsets if offset is not None]
        if last is None or len(fields) < len(objects):
            return None
        return make_group([Field(self.interp.at(0, "PyObject", "ob_type"), POINTER), *fields, Field(last, NUMBER_SIZE)])

    def find_class_attribute(self, kind: Kind, name: str) -> int | None:
        """An attribute of a class or of its bases (`tp_mro`); None if there is none. Raises ReadError."""
        key = (kind.address, name)
        if key not in self._attributes:
            self._attributes[key] = self._search_class(kind, name)
        return self._attributes[key]

    def _search_class(self, kind: Kind, name: str) -> int | None:
        for one in read_mro(self.interp, kind):
            variables = self.interp.number(one.address, "PyTypeObject", "tp_dict")
            found = find_item(self.interp, variables, name) if variables else None
            if found:
                return found
        return None

    def _find_offset(self, kind: Kind, name: str, *, is_number: bool = False) -> int | None:
        key = (kind.address, name, is_number)
        if key not in self._offsets:
            self._offsets[key] = self._read_offset(kind, name, NUMBER if is_number else OBJECT)
        return self._offsets[key]

    def _read_offset(self, kind: Kind, name: str, load: re.Pattern[bytes]) -> int | None:
        """Where the field is in an instance; None where its class has no getter of that name that tells."""
        interp = self.interp
        descriptor = self.find_class_attribute(kind, name)
        if not descriptor or not type_of(interp, descriptor).is_static("getset_descriptor"):
            return None
        getter = interp.number(interp.number(descriptor, "PyGetSetDescrObject", "d_getset"), "PyGetSetDef", "get")
        return decode(interp.memory.read(getter, CODE_SIZE), load, read_size(interp, kind))


def read_size(interp: Interpreter, kind: Kind) -> int:
    """`tp_basicsize`. Raises ReadError."""
    return interp.number(kind.address, "PyTypeObject", "tp_basicsize")


def decode(code: bytes, load: re.Pattern[bytes], size: int) -> int | None:
    """The offset that a getter loads first; None for other code, or for one outside an object of `size` bytes."""
    found = load.search(code)
    if found is None:
        return None
    data = next(group for group in found.groups() if group)
    offset = int.from_bytes(data, "little", signed=True)
    return offset if 0 < offset < size else None
