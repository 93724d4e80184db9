"""What an instance has in slots of its class: `__slots__`, and what C types show as members (descrobject.h).

Each class of the chain has a member descriptor a slot, in its `tp_dict`, which knows where in the instance it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture.memory import ReadError
from lastwords.cpython.dicts import named, read_items
from lastwords.cpython.structs import Structs
from lastwords.cpython.types import Kind, bases, type_of

OBJECTS = (6, 16)  # structmember.h: T_OBJECT, T_OBJECT_EX
OFFSET_LIMIT = 1 << 16  # bytes of an instance
DICT_LIMIT = 4096  # names of a class


def read_members(structs: Structs, address: int, kind: Kind) -> list[tuple[str, int]]:
    """(name, address of the value) of each slot of an instance that is set, in their order in memory.

    `kind` is its type; those of its base classes come first. Raises ReadError.
    """
    found: dict[str, int] = {}
    for one in reversed(bases(structs, kind)):
        if one.address not in structs.members:
            structs.members[one.address] = sorted(_read_offsets(structs, one), key=lambda member: member[1])
        for name, offset in structs.members[one.address]:
            value = structs.pointer(address + offset)
            if value:
                found[name] = value
    return list(found.items())


def _read_offsets(structs: Structs, kind: Kind) -> Iterator[tuple[str, int]]:
    names = structs.number(kind.address, "PyTypeObject", "tp_dict")
    if not names:  # static types keep it with the interpreter from 3.12 on
        return
    for name, value in named(structs, read_items(structs, names, DICT_LIMIT)):
        if not type_of(structs, value).is_static("member_descriptor"):
            continue
        member = structs.number(value, "PyMemberDescrObject", "d_member")
        offset = structs.number(member, "PyMemberDef", "offset")
        if offset > OFFSET_LIMIT:
            raise ReadError(f"the slot {name} of the type at {kind.address:#x} would be at byte {offset}")
        if structs.number(member, "PyMemberDef", "type") in OBJECTS:
            yield name, offset
