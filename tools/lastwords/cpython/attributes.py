"""Attributes of instances and modules, wherever a release keeps them; classes are not searched.

`tp_dictoffset` says where the dict is. From 3.11 on an instance may have no dict yet, only values beside the keys
of its class: two words before the object (3.11), one tagged word (3.12), or behind the object (3.13).
"""

from __future__ import annotations

from lastwords.capture.memory import ReadError
from lastwords.cpython.dicts import Item, named, read_items, read_split
from lastwords.cpython.structs import INLINE_VALUES, LONG, MANAGED_DICT, POINTER, TUPLE, Structs
from lastwords.cpython.text import read_length
from lastwords.cpython.types import Kind, type_of

DICT_BEFORE = 3 * POINTER  # MANAGED_DICT_OFFSET: before the object and its two words for the collector
VALUES_BEFORE = 4 * POINTER


def read_attributes(structs: Structs, address: int) -> list[Item]:
    """(name, value) of an instance's own attributes, their addresses. Raises ReadError."""
    kind = type_of(structs, address)
    if structs.has("PyInstanceObject") and kind.is_static("instance"):
        return read_items(structs, structs.number(address, "PyInstanceObject", "in_dict"))
    if structs.layout.formats.managed_dict != "none" and kind.flags & MANAGED_DICT:
        return _read_managed(structs, address, kind)
    found = find_dict(structs, address, kind)
    return read_items(structs, found) if found else []


def find_attribute(structs: Structs, address: int, name: str) -> int | None:
    """The attribute of that name in the instance's own; None if it has none. Raises ReadError."""
    for found, value in named(structs, read_attributes(structs, address)):
        if found == name:
            return value
    return None


def find_dict(structs: Structs, address: int, kind: Kind) -> int | None:
    """The `__dict__` that `tp_dictoffset` points at, None where the type has none or it is not made yet."""
    if kind.address not in structs.dict_offsets:
        structs.dict_offsets[kind.address] = structs.signed(kind.address, "PyTypeObject", "tp_dictoffset")
    offset = structs.dict_offsets[kind.address]
    if offset == 0:
        return None
    if offset < 0:
        offset += _size_of(structs, address, kind)
    return structs.pointer(address + offset) or None


def _size_of(structs: Structs, address: int, kind: Kind) -> int:
    """_PyObject_VAR_SIZE: where the dict stands at the end of an object whose size varies."""
    if not kind.flags & (TUPLE | LONG):
        raise ReadError(f"the object at {address:#x} keeps its dict behind a {kind.name} of unknown size")
    size = structs.number(kind.address, "PyTypeObject", "tp_basicsize")
    width = POINTER if kind.flags & TUPLE else 4
    size += abs(structs.signed(address, "PyVarObject", "ob_size")) * width
    return size + -size % POINTER


def _read_managed(structs: Structs, address: int, kind: Kind) -> list[Item]:
    form = structs.layout.formats.managed_dict
    word = structs.pointer(address - DICT_BEFORE)
    values = 0
    if form == "two words" and not word:
        values = structs.pointer(address - VALUES_BEFORE)
    elif form == "tagged word" and word & 1:
        word, values = 0, word + 1
    elif form == "inline values" and not word and kind.flags & INLINE_VALUES:
        values = address + structs.number(kind.address, "PyTypeObject", "tp_basicsize")
        if not structs.number(values, "PyDictValues", "valid"):
            return []
    if word:
        return read_items(structs, word)
    keys = structs.number(kind.address, "PyHeapTypeObject", "ht_cached_keys")
    return read_split(structs, keys, values) if values and keys else []


def read_tuple(structs: Structs, address: int, limit: int = 1 << 16) -> list[int]:
    """The items of a tuple, at most `limit`. Raises ReadError for what is no tuple."""
    if not structs.type_flags(address) & TUPLE:
        raise ReadError(f"the object at {address:#x} is no tuple")
    return structs.pointers(structs.at(address, "PyTupleObject", "ob_item"), min(read_length(structs, address), limit))
