"""The function at an address: by the symbols that cover it, of every table that a file has or had."""

from __future__ import annotations

import lzma
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import PATIENCE, TARGETS
from lastwords.capture.elf_tables import SYMBOL, ElfTables
from lastwords.native.images import OpenFile
from lastwords.native.symbols import Symbol, Symbols, Table, read_tables
from needs import need

FUNC, GLOBAL, WEAK = 2, 1 << 4, 2 << 4
NAMES = b"\0first\0inner\0second@@V_2\0alias\0"


def entry(name: str, address: int, size: int, info: int = FUNC, section: int = 1) -> bytes:
    return SYMBOL.pack(NAMES.index(name.encode()), info, 0, section, address, size)


def symbols(*entries: bytes, is_whole: bool = False) -> Symbols:
    return Symbols([Table(b"".join(entries), NAMES, is_whole)])


def test_the_nearest_that_covers() -> None:
    found = symbols(entry("first", 0x100, 0x80), entry("inner", 0x120, 0x10), entry("second@@V_2", 0x200, 0x10))
    assert found.find(0x100) == Symbol("first", 0x100, 0x80)
    assert found.find(0x12F) == Symbol("inner", 0x120, 0x10)
    assert found.find(0x130) == Symbol("first", 0x100, 0x80)
    assert found.find(0x20F) == Symbol("second", 0x200, 0x10)
    assert [found.find(one) for one in (0, 0xFF, 0x180, 0x210)] == [None] * 4


def test_the_global_name_of_several() -> None:
    names = entry("inner", 0x100, 8), entry("alias", 0x100, 8, FUNC | WEAK), entry("first", 0x100, 8, FUNC | GLOBAL)
    assert symbols(*names).find(0x104) == Symbol("first", 0x100, 8)
    assert symbols(*names[:2]).find(0x104) == Symbol("alias", 0x100, 8)


def test_those_without_a_size() -> None:
    """Count where all functions have symbols: elsewhere another may lie between."""
    unsized = entry("first", 0x100, 0), entry("inner", 0x180, 0)
    assert symbols(*unsized).find(0x110) is None
    assert symbols(*unsized, is_whole=True).find(0x17F) == Symbol("first", 0x100, 0)
    assert symbols(*unsized, is_whole=True).find(0x180 + 0x10000) is None


def test_what_is_elsewhere_or_no_function() -> None:
    assert symbols(entry("first", 0x100, 8, section=0), entry("inner", 0x100, 8, info=1)).find(0x104) is None
    assert symbols(entry("first", 0x100, 8) + b"cut off").find(0x104) == Symbol("first", 0x100, 8)
    assert Symbols([]).find(0x104) is None


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, Path]:
    """A library with all its symbols, and the same with those of .dynsym, and the others in .gnu_debugdata."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    need(compiler and shutil.which("objcopy"), "a C compiler and objcopy")
    whole, stripped, mini = tmp_path / "whole.so", tmp_path / "stripped.so", tmp_path / "mini.xz"
    source = TARGETS / "no_tables.c"
    run(str(compiler), "-O2", "-shared", "-fPIC", "-o", whole, source)
    mini.write_bytes(lzma.compress(whole.read_bytes()))
    run("objcopy", "--strip-all", whole, stripped)
    run("objcopy", f"--add-section=.gnu_debugdata={mini}", stripped)
    return whole, stripped


def run(*words: object) -> None:
    subprocess.run(list(map(str, words)), check=True, timeout=PATIENCE)


def open_symbols(path: Path) -> tuple[ElfTables, Symbols]:
    tables = ElfTables(OpenFile(path))
    return tables, Symbols(list(read_tables(tables)))


def test_symbols_that_are_packed(packed: tuple[Path, Path]) -> None:
    (whole, all_of_them), (stripped, unpacked) = map(open_symbols, packed)
    assert ".symtab" not in stripped.sections
    addresses = [whole.symbols(".symtab")[name] for name in ("deeper", "deepest", "call_back")]
    assert [unpacked.find(one + 1) for one in addresses] == [all_of_them.find(one + 1) for one in addresses]
    assert [found.name for one in addresses if (found := unpacked.find(one + 1))] == ["deeper", "deepest", "call_back"]
