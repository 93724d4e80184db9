"""A layout out of DWARF, by drgn (optional: the extra `native`): 0.1 s where pyelftools takes 20 s.

Used by `tools/make_layouts.py` to write the shipped table, and for a release that the table does not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import drgn

from lastwords.cpython.layouts import Field, Struct
from lastwords.cpython.layouts.fields import FIELDS

# Where the name that the readers use is not a type's name in every release.
TYPE_NAMES = {
    "_PyRuntimeState": ("_PyRuntimeState", "struct pyruntimestate"),
    "PyInterpreterState": ("struct _is",),
    "PyThreadState": ("struct _ts",),
    "PyFrameObject": ("struct _frame",),
    "_PyInterpreterFrame": ("_PyInterpreterFrame", "struct _PyInterpreterFrame"),
    "PyDictKeysObject": ("struct _dictkeysobject",),
    "PyDictValues": ("struct _dictvalues",),
    "_gil_runtime_state": ("struct _gil_runtime_state",),
    "wait_entry": ("struct wait_entry",),
    "PyTracebackObject": ("PyTracebackObject", "struct _traceback"),
    "BLOCK": ("struct BLOCK",),
}


def open_dwarf(*paths: Path) -> drgn.Program:
    """The DWARF of some ELF files. Raises LookupError where one holds none."""
    program = drgn.Program()
    for path in paths:
        module = program.extra_module(str(path), create=True)
        module.try_file(path)
        if module.wants_debug_file():
            raise LookupError(f"{path} holds no DWARF")
    return program


def read_structs(program: drgn.Program) -> dict[str, Struct]:
    """The structs that the readers ask for, as far as this build has them."""
    found = ((name, _find_type(program, name)) for name in FIELDS)
    return {name: read_struct(of_type, FIELDS[name]) for name, of_type in found if of_type is not None}


def _find_type(program: drgn.Program, name: str) -> drgn.Type | None:
    for candidate in TYPE_NAMES.get(name, (name,)):
        try:
            found = strip(program.type(candidate))
        except LookupError:
            continue
        if found.is_complete():
            return found
    return None


def strip(of_type: drgn.Type) -> drgn.Type:
    """The type without its typedefs and qualifiers."""
    while of_type.kind == drgn.TypeKind.TYPEDEF:
        of_type = of_type.type
    return of_type.unqualified()


def read_struct(of_type: drgn.Type, names: tuple[str, ...]) -> Struct:
    """Size and wanted fields of a struct; a field that it does not have is left out."""
    fields: dict[str, Field] = {}
    for alternatives in names:
        found = next((field for name in alternatives.split("|") if (field := find_field(of_type, name))), None)
        if found is not None:
            fields[alternatives.split("|", maxsplit=1)[0]] = found
    return Struct(size=of_type.size, fields=fields)


def find_field(of_type: drgn.Type, name: str) -> Field | None:
    """The field by its dotted name, of anonymous members too; an array's size is that of an element."""
    offset = 0
    shift = bits = None
    for part in name.split("."):
        member = next((item for item in members(of_type) if item[0] == part), None)
        if member is None:
            return None
        _, start, of_type, width = member
        offset += start
        bits = width
    if bits is not None:
        shift, offset = offset % 32, offset // 32 * 32
    while of_type.kind == drgn.TypeKind.ARRAY:
        of_type = strip(of_type.type)
    return Field(offset=offset // 8, size=4 if bits else size_of(of_type), shift=shift, bits=bits)


def size_of(of_type: drgn.Type) -> int:
    """Bytes of the type; a bare `void` or function counts as 0."""
    if of_type.kind == drgn.TypeKind.ENUM and of_type.is_complete():
        of_type = strip(of_type.type)
    return int(getattr(of_type, "size", None) or 0)


def members(of_type: drgn.Type) -> Iterator[tuple[str, int, drgn.Type, int | None]]:
    """(name, bit offset, type, bits of a bit field) of each member; of a union's members too."""
    if of_type.kind not in (drgn.TypeKind.STRUCT, drgn.TypeKind.UNION) or not of_type.is_complete():
        return
    for member in of_type.members:
        inner = strip(member.type)
        if member.name is None:
            for name, start, deeper, width in members(inner):
                yield name, member.bit_offset + start, deeper, width
        else:
            yield member.name, member.bit_offset, inner, member.bit_field_size
