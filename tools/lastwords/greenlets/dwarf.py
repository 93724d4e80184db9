"""Where greenlet keeps what, out of the DWARF of its extension module. Its wheels have it.

By pyelftools: greenlet 2 and newer are C++, whose classes drgn does not find by name. A second for a module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from elftools.common.exceptions import ELFError
from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile

from lastwords.cpython.layouts import Field, Struct

# The name that the readers use: [that of its type, newest first], {field: names of it, newest first}.
# To greenlet 1 a PyGreenlet is all there is; from 2 on it points at a C++ object that has the rest.
STATE = (
    "stack_state._stack_start|stack_start",
    "stack_state.stack_stop|stack_stop",
    "stack_state.stack_copy|stack_copy",
    "stack_state._stack_saved|stack_saved",
    "stack_state.stack_prev|stack_prev",
    "python_state._top_frame|top_frame",
)
FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "PyGreenlet": (("_greenlet",), ("dict", "pimpl", "parent", "run_info")),
    "Greenlet": (("greenlet::Greenlet", "_greenlet"), ("_self", *STATE)),
    "UserGreenlet": (("greenlet::UserGreenlet",), ("_self", "_main_greenlet", "_run_callable", "_parent")),
    "MainGreenlet": (("greenlet::MainGreenlet",), ("_self", "_thread_state")),
    "ThreadState": (("greenlet::ThreadState",), ("main_greenlet", "current_greenlet")),
}
CLASSES = ("DW_TAG_structure_type", "DW_TAG_class_type")
NAMES = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type")
DEPTH_LIMIT = 8


def read_structs(file: BinaryIO) -> dict[str, Struct]:
    """The structs that the readers ask for, as far as this build has them. Raises LookupError where there is no DWARF.

    Names of fields are without the parts before their last dot and without a leading "_".
    """
    classes = _read_classes(file)
    if "_greenlet" not in classes:
        raise LookupError("it holds no DWARF of greenlet")
    found: dict[str, Struct] = {}
    for name, (types, fields) in FIELDS.items():
        of_type = next((classes[one] for one in types if one in classes), None)
        if of_type is not None:
            found[name] = _read_struct(of_type, fields)
    return {name: struct for name, struct in found.items() if struct.fields}


def _read_classes(file: BinaryIO) -> dict[str, DIE]:
    """Complete classes by their names, with the namespace in which they are."""
    try:
        elf = ELFFile(file)
        if not elf.has_dwarf_info():
            return {}
        units = elf.get_dwarf_info().iter_CUs()
        return {name: one for unit in units for name, one in _walk(unit)}
    except (ELFError, KeyError, ValueError, AssertionError) as error:
        raise LookupError(f"its DWARF cannot be read: {error}") from error


def _walk(unit: CompileUnit) -> Iterator[tuple[str, DIE]]:
    for child in unit.get_top_DIE().iter_children():
        if child.tag == "DW_TAG_namespace" and _name(child) == "greenlet":
            for inner in child.iter_children():
                if _is_class(inner):
                    yield f"greenlet::{_name(inner)}", inner
        elif _is_class(child):
            yield _name(child), child


def _is_class(die: DIE) -> bool:
    return die.tag in CLASSES and "DW_AT_byte_size" in die.attributes and "DW_AT_name" in die.attributes


def _name(die: DIE) -> str:
    found = die.attributes.get("DW_AT_name")
    return found.value.decode() if found else ""


def _read_struct(of_type: DIE, fields: tuple[str, ...]) -> Struct:
    members = dict(_members(of_type))
    found: dict[str, Field] = {}
    for names in fields:
        first = next((members[name] for name in names.split("|") if name in members), None)
        if first is not None:
            found[names.rpartition("|")[2].lstrip("_")] = first
    return Struct(size=of_type.attributes["DW_AT_byte_size"].value, fields=found)


def _members(of_type: DIE, start: int = 0, before: str = "", depth: int = 0) -> Iterator[tuple[str, Field]]:
    """(dotted name, where it is) of each member, of its members, and of those that are inherited."""
    if depth > DEPTH_LIMIT:
        return
    for child in of_type.iter_children():
        if (
            child.tag not in ("DW_TAG_member", "DW_TAG_inheritance")
            or "DW_AT_data_member_location" not in child.attributes
        ):
            continue
        offset = start + _offset(child.attributes["DW_AT_data_member_location"].value)
        inner = _strip(child.get_DIE_from_attribute("DW_AT_type"))
        size = inner.attributes["DW_AT_byte_size"].value if "DW_AT_byte_size" in inner.attributes else 0
        if child.tag == "DW_TAG_inheritance":
            yield from _members(inner, offset, before, depth + 1)
            continue
        name = f"{before}{_name(child)}"
        yield name, Field(offset, size)
        if inner.tag in CLASSES:
            yield from _members(inner, offset, f"{name}.", depth + 1)


def _offset(location: int | Sequence[int]) -> int:
    """A number, or, in old DWARF, DW_OP_plus_uconst with one."""
    if isinstance(location, int):
        return location
    return sum((part & 127) << 7 * at for at, part in enumerate(location[1:]))


def _strip(die: DIE) -> DIE:
    while die.tag in NAMES:
        die = die.get_DIE_from_attribute("DW_AT_type")
    return die
