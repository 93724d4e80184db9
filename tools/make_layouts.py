"""Writes the shipped layouts: one JSON file per CPython release, out of the DWARF of real builds.

    python tools/make_layouts.py 3.11.7 "a build with -g" /path/to/libpython3.11.so.1.0:/path/to/_queue.cpython-311.so

Needs drgn. Give the exact release, where the build comes from, and the file with its DWARF, with those of extension
modules behind it where they are not built in; as often as you like.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import drgn
import msgspec
from elftools.elf.elffile import ELFFile

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lastwords.cpython.layouts import Formats, Layout, Struct, dwarf
from lastwords.cpython.layouts.fields import DEBUG_OFFSETS

OUTPUT = Path(__file__).resolve().parent / "lastwords" / "cpython" / "layouts"

# What no DWARF tells, from CPython's sources: Python/traceback.c and Objects/lnotab_notes.txt, Objects/locations.md,
# Include/internal/pycore_stackref.h, Objects/dictobject.c, Include/internal/pycore_object.h.
LOCATIONS = {
    "3.11": Formats(lines="locations", values_order="before", managed_dict="two words"),
    "3.12": Formats(lines="locations", values_order="before", managed_dict="tagged word"),
    "3.13": Formats(lines="locations", values_order="after", managed_dict="inline values"),
}
STACKREF = Formats(lines="locations", values_order="after", managed_dict="inline values", pointer_mask=~7 % 2**64)
FORMATS = {
    "2.7": Formats(lines="unsigned lnotab", text="bytes", exception_comma=True),
    "3.6": Formats(lines="lnotab", exception_comma=True),
    **dict.fromkeys(("3.7", "3.8", "3.9"), Formats(lines="lnotab")),
    "3.10": Formats(lines="linetable", lasti_unit=2),
    **LOCATIONS,
    "3.14": STACKREF,
    "3.15": STACKREF,
}


def make_layout(exact: str, origin: str, path: Path, *modules: Path) -> Layout:
    """The layout of the build at `path`; `exact` is its release ("3.11.7"), `modules` have structs of their own."""
    program = dwarf.open_dwarf(path, *modules)
    release = exact.rpartition(".")[0]
    return Layout(
        release=release,
        provenance={"release": exact, "origin": origin, **describe(program, path)},
        formats=FORMATS[release],
        structs=dwarf.read_structs(program),
        debug_offsets=read_debug_offsets(program),
    )


def describe(program: drgn.Program, path: Path) -> dict[str, str]:
    """Which build this is: its build-id, and the compiler that its DWARF names."""
    module = next(one for one in program.modules() if one.name == str(path))
    return {"build_id": module.build_id.hex() if module.build_id else "", "compiler": find_compiler(path)}


def find_compiler(path: Path) -> str:
    """The compiler as DW_AT_producer names it ("GNU C11 12.2.0"), without its options."""
    with path.open("rb") as file:
        first = next(ELFFile(file).get_dwarf_info().iter_CUs()).get_top_DIE()
        producer = first.attributes["DW_AT_producer"].value.decode()
    return str(producer.partition(" -")[0])


def read_debug_offsets(program: drgn.Program) -> dict[str, int]:
    """Where in `_Py_DebugOffsets` each offset stands that the readers can use; empty before 3.13."""
    try:
        of_type = program.type("struct _Py_DebugOffsets")
    except LookupError:
        return {}
    names = ("version", "free_threaded", *DEBUG_OFFSETS)
    found = {name: dwarf.find_field(of_type, name) for name in names}
    return {name: field.offset for name, field in found.items() if field is not None}


def format_layout(layout: Layout) -> str:
    """The layout as JSON, one struct a line, so that a release's changes can be read in a diff."""
    structs = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(format_struct(struct))}" for name, struct in layout.structs.items()
    )
    head = msgspec.to_builtins(layout)
    del head["structs"]
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items())
    return f'{{\n{lines},\n "structs": {{\n{structs}\n }}\n}}\n'


def format_struct(struct: Struct) -> dict[str, object]:
    """A struct as plain data; fields that are no bit fields are [offset, size]."""
    fields = {
        name: [part for part in msgspec.to_builtins(field) if part is not None] for name, field in struct.fields.items()
    }
    return {"size": struct.size, "fields": fields}


def main(arguments: list[str]) -> None:
    """Writes one file for every three arguments."""
    for at in range(0, len(arguments), 3):
        exact, origin, path = arguments[at : at + 3]
        layout = make_layout(exact, origin, *map(Path, path.split(":")))
        target = OUTPUT / f"{layout.release}.json"
        target.write_text(format_layout(layout))
        sys.stdout.write(f"{target.name}: {len(layout.structs)} structs, {layout.provenance['compiler']}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
