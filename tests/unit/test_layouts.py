"""The shipped layouts: complete, and what the DWARF of the builds on this machine says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import pytest

from interpreters import CHECKOUT, Interpreter
from lastwords.capture import elf
from lastwords.cpython.layouts import Layout, load_layout, shipped_releases
from lastwords.cpython.layouts.fields import DEBUG_OFFSETS, FIELDS
from needs import need

RELEASES = ["2.7", *(f"3.{minor}" for minor in range(6, 16))]
# For each thing that is read, the fields of which at least one must be there.
NEEDED = [
    ("PyThreadState", ("frame", "cframe", "current_frame")),
    ("PyThreadState", ("curexc_type", "current_exception")),
    ("PyThreadState", ("exc_type", "exc_info")),
    ("PyCodeObject", ("co_lnotab", "co_linetable")),
    ("PyDictObject", ("ma_table", "ma_keys")),
]


def layout_of(release: str) -> Layout:
    layout = load_layout(release)
    assert layout is not None
    return layout


def test_every_supported_release_is_shipped() -> None:
    assert list(shipped_releases()) == RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_a_layout_has_what_is_read(release: str) -> None:
    layout = layout_of(release)
    assert layout.release == release
    assert len(layout.provenance["build_id"]) == 40
    for struct, fields in NEEDED:
        assert any(layout.has(struct, field) for field in fields), (struct, fields)
    for struct, found in layout.structs.items():
        asked = {names.partition("|")[0] for names in FIELDS[struct]}
        assert set(found.fields) <= asked
        assert all(0 <= field.offset <= found.size for field in found.fields.values() if field.size)


@pytest.mark.parametrize("release", ["3.13", "3.14", "3.15"])
def test_debug_offsets_are_known_where_the_release_has_them(release: str) -> None:
    layout = layout_of(release)
    assert {"version", "free_threaded"} <= set(layout.debug_offsets) <= {"version", "free_threaded", *DEBUG_OFFSETS}
    for struct, field in (DEBUG_OFFSETS[name] for name in layout.debug_offsets if name in DEBUG_OFFSETS):
        assert layout.has(struct, field), (struct, field)


def test_every_field_is_asked_for_by_a_reader() -> None:
    readers = [CHECKOUT / "tools/lastwords" / name for name in ("cpython", "asyncio_tasks")]
    sources = "".join(path.read_text() for folder in readers for path in folder.rglob("*.py"))
    for struct, fields in FIELDS.items():
        names = [f'"{names.partition("|")[0]}"' for names in fields]
        assert f'"{struct}"' in sources
        assert [name for name in names if name not in sources] == []
    for struct, field in DEBUG_OFFSETS.values():
        assert field in [names.partition("|")[0] for names in FIELDS[struct]]


def test_an_unknown_release_has_no_layout() -> None:
    assert load_layout("3.99") is None
    assert load_layout("../3.11") is None


@pytest.mark.interpreters("debug_symbols")
def test_the_table_is_what_dwarf_says(interpreter: Interpreter) -> None:
    need(importlib.util.find_spec("drgn"), "drgn")
    make_layouts = load_script()
    release = ".".join(map(str, interpreter.version))
    made = make_layouts.make_layout(release, "here", find_library(interpreter), *find_modules(interpreter))
    shipped = layout_of(interpreter.minor)
    assert made.structs == shipped.structs
    assert made.formats == shipped.formats
    assert made.debug_offsets == shipped.debug_offsets


def load_script() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("make_layouts", CHECKOUT / "tools" / "make_layouts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_layouts"] = module
    spec.loader.exec_module(module)
    return module


def find_library(interpreter: Interpreter) -> Path:
    """The file that holds the interpreter: its libpython, or itself."""
    question = "print(open('/proc/self/maps').read())"
    maps = subprocess.run([interpreter.path, "-S", "-c", question], capture_output=True, text=True, check=True).stdout
    paths = {line.split()[-1] for line in maps.splitlines() if "/libpython" in line}
    return Path(min(paths)) if paths else interpreter.path


def find_modules(interpreter: Interpreter) -> list[Path]:
    """The extension modules whose objects are read, where they are files of their own."""
    names = ("_queue", "_multiprocessing", "_collections", "_asyncio")
    answers = [_ask(interpreter, f"import {name}; print(getattr({name}, '__file__', ''))") for name in names]
    return [Path(answer) for answer in answers if answer]


def _ask(interpreter: Interpreter, question: str) -> str:
    """What it prints; nothing where it fails: 2.7 and 3.6 have no `_queue`."""
    found = subprocess.run([interpreter.path, "-S", "-c", question], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def test_a_static_variable_is_decoded_from_code() -> None:
    code = b"\x48\x8b\x05\x10\x00\x00\x00\xc3"
    file = elf.ElfFile({"f": 0x1000, "g": 0x2000}, (), None, None, False, False, code={"f": code, "g": b"\xc3"})
    assert elf.decode_static(file, "f") == 0x1000 + 7 + 0x10
    assert elf.decode_static(file, "g") is None
    assert elf.decode_static(file, "missing") is None
    call = elf.ElfFile({"f": 0x1000}, (), None, None, False, False, code={"f": b"\x48\x8b\x3d\xf9\xff\xff\xff\xe9"})
    assert elf.decode_argument(call, "f") == 0x1000
    assert elf.decode_argument(file, "f") is None
