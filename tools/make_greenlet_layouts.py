"""Writes the shipped layouts of greenlet: one table, out of the DWARF of its wheels.

    pip download --no-deps --only-binary :all: --python-version 3.11 --platform manylinux2014_x86_64 greenlet==3.1.1
    python tools/make_greenlet_layouts.py *.whl

Releases of greenlet side by side with the same layout for one Python become one entry, from the first to the last: so
give those before and after each change. A module that was built with -g may be given in place of a wheel, behind the
releases that it is of: 3.1.1:3.11:/path/to/_greenlet.so
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lastwords.cpython.layouts import Struct
from lastwords.greenlets import dwarf
from lastwords.greenlets.layouts import TABLE, Entry, Table, parse_version

WHEEL = re.compile(r"greenlet-([\d.]+?)(?:\.post\d+)?-cp(\d)(\d+)-")
Build = tuple[str, str, str, dict[str, Struct]]  # Python, greenlet, build-id, structs


def read_build(argument: str) -> Build:
    """One wheel or module, see above. Raises LookupError."""
    if not argument.endswith(".whl"):
        version, python, path = argument.split(":", 2)
        return (python, version, *_read_module(Path(path).read_bytes()))
    found = WHEEL.search(Path(argument).name)
    if found is None:
        raise LookupError(f"{argument} is no wheel of greenlet")
    with zipfile.ZipFile(argument) as wheel:
        name = next(name for name in wheel.namelist() if re.search(r"(^|/)_?greenlet\.[^/]*so$", name))
        return (f"{found[2]}.{found[3]}", found[1], *_read_module(wheel.read(name)))


def _read_module(data: bytes) -> tuple[str, dict[str, Struct]]:
    notes = [one for one in ELFFile(io.BytesIO(data)).iter_sections() if isinstance(one, NoteSection)]
    ids = [note["n_desc"] for section in notes for note in section.iter_notes() if note["n_type"] == "NT_GNU_BUILD_ID"]
    return ids[0] if ids else "", dwarf.read_structs(io.BytesIO(data))


def make_entries(builds: list[Build]) -> Iterator[Entry]:
    """Releases in their order, those side by side with the same layout as one."""
    ordered = sorted(builds, key=lambda one: (parse_version(one[0]), parse_version(one[1])))
    for (python, _), group in groupby(ordered, key=lambda one: (one[0], one[3])):
        members = list(group)
        yield Entry(python, members[0][1], members[-1][1], [f"{one[1]} {one[2]}" for one in members], members[0][3])


def format_table(table: Table) -> str:
    """As JSON, one struct a line, so that a change can be read in a diff."""
    entries = []
    for entry in table.entries:
        head = msgspec.to_builtins(entry)
        structs = head.pop("structs")
        lines = ",\n".join(f"   {json.dumps(name)}: {json.dumps(_format(struct))}" for name, struct in structs.items())
        entries.append(f'  {json.dumps(head)[:-1]}, "structs": {{\n{lines}\n  }}}}')
    return f'{{\n "origin": {json.dumps(table.origin)},\n "entries": [\n' + ",\n".join(entries) + "\n ]\n}\n"


def _format(struct: dict[str, Any]) -> dict[str, object]:
    """Fields as [offset, size]."""
    return {"size": struct["size"], "fields": {name: field[:2] for name, field in struct["fields"].items()}}


def main(arguments: list[str]) -> None:
    """Writes the table."""
    entries = list(make_entries([read_build(argument) for argument in arguments]))
    TABLE.write_text(format_table(Table("DWARF of the wheels of greenlet, x86_64", entries)))
    sys.stdout.write("".join(f"{one.python}: {one.first} to {one.last}, {len(one.builds)} builds\n" for one in entries))


if __name__ == "__main__":
    main(sys.argv[1:])
