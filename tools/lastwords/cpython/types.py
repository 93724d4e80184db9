"""Types: what an object is, told by PyTypeObject (Objects/typeobject.c) without running anything.

A type is known by its own words: `tp_name` of a static type, `ht_qualname` and `__module__` of a heap type. How an
object is printed is told by its slots: the outermost base with the same `tp_repr` is the one that defines it.
"""

from __future__ import annotations

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.dicts import find_item
from lastwords.cpython.structs import HEAPTYPE, Structs
from lastwords.cpython.text import read_text

BASES_LIMIT = 200
BUILTIN_MODULES = ("builtins", "__builtin__", "exceptions")


class Kind(msgspec.Struct, frozen=True):
    """A type of the target. `name` is the static type's `tp_name` or the heap type's `__name__`."""

    address: int
    name: str
    is_heap: bool
    flags: int
    base: int

    def is_static(self, name: str) -> bool:
        """Whether this is the interpreter's own type of that `tp_name`, not a class of the same name."""
        return not self.is_heap and self.name == name


def read_kind(structs: Structs, address: int) -> Kind:
    """The type at `address`. Raises ReadError."""
    known = structs.kinds.get(address)
    if not isinstance(known, Kind):
        flags = structs.number(address, "PyTypeObject", "tp_flags")
        known = structs.kinds[address] = Kind(
            address=address,
            name=structs.c_string(structs.number(address, "PyTypeObject", "tp_name")),
            is_heap=bool(flags & HEAPTYPE),
            flags=flags,
            base=structs.number(address, "PyTypeObject", "tp_base"),
        )
    return known


def type_of(structs: Structs, address: int) -> Kind:
    """The type of the object at `address`."""
    return read_kind(structs, structs.number(address, "PyObject", "ob_type"))


def bases(structs: Structs, kind: Kind) -> list[Kind]:
    """The type, its `tp_base`, and so on down to `object`."""
    found = [kind]
    while found[-1].base:
        if len(found) >= BASES_LIMIT:
            raise ReadError(f"the type at {kind.address:#x} has more than {BASES_LIMIT} bases")
        found.append(read_kind(structs, found[-1].base))
    return found


def find_definer(structs: Structs, kind: Kind, slot: str) -> Kind:
    """The base that `kind` has its `slot` (tp_repr, tp_str) from: the last one down with the same function."""
    function = structs.number(kind.address, "PyTypeObject", slot)
    definer = kind
    for base in bases(structs, kind):
        if structs.number(base.address, "PyTypeObject", slot) == function:
            definer = base
    return definer


def is_subtype(structs: Structs, kind: Kind, name: str) -> bool:
    """Whether one of its bases is the static type of that name."""
    return any(base.is_static(name) for base in bases(structs, kind))


def type_module(structs: Structs, kind: Kind) -> str | None:
    """`__module__` of a type: from its dict, or what stands before the last dot of a static type's name."""
    if kind.is_heap:
        found = find_item(structs, structs.number(kind.address, "PyTypeObject", "tp_dict"), "__module__")
        return read_text(structs, found) if found else None
    return kind.name.rpartition(".")[0] or "builtins"


def type_qualname(structs: Structs, kind: Kind) -> str:
    """`__qualname__` where the release has it, else `__name__`."""
    if not kind.is_heap:
        return kind.name.rpartition(".")[2]
    field = "ht_qualname" if structs.has("PyHeapTypeObject", "ht_qualname") else "ht_name"
    return read_text(structs, structs.number(kind.address, "PyHeapTypeObject", field))


def type_name(structs: Structs, kind: Kind) -> str:
    """The name as tracebacks show it: "ValueError", "zipfile.BadZipFile", "__main__.Mine"."""
    name = type_qualname(structs, kind)
    module = type_module(structs, kind)
    return name if module is None or module in BUILTIN_MODULES else f"{module}.{name}"
