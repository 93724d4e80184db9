"""ELF files, on the process that runs the test: symbols lie where their objects are."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Symbol, SymbolTableSection

from lastwords.capture import elf, procfs
from lastwords.capture.elf import Image
from lastwords.capture.elf_tables import ElfError
from lastwords.capture.procfs import Mapping


@pytest.fixture(scope="module")
def image() -> Image:
    found = elf.find_python_image(os.getpid(), procfs.read_maps(os.getpid()))
    assert found is not None
    return found


def test_symbols_are_where_the_objects_are(image: Image) -> None:
    assert image.address("PyType_Type") == id(type)
    assert image.address("_Py_NoneStruct") == id(None)
    assert image.address("no_such_symbol") is None
    assert image.start < id(type) < image.end


def test_what_readelf_says(image: Image) -> None:
    notes = subprocess.run(["readelf", "-n", image.path], capture_output=True, text=True, check=False).stdout
    assert image.elf.build_id is None or image.elf.build_id in notes
    dynamic = subprocess.run(["readelf", "-d", image.path], capture_output=True, text=True, check=False).stdout
    assert (image.elf.soname is not None) == ("SONAME" in dynamic)
    assert image.elf.soname is None or f"[{image.elf.soname}]" in dynamic


def test_a_file_is_read_once(image: Image) -> None:
    again = elf.find_python_image(os.getpid(), procfs.read_maps(os.getpid()))
    assert again is not None
    assert again.elf is image.elf


def test_a_replaced_file_is_not_taken_for_the_mapped_one(tmp_path: Path) -> None:
    mapping = procfs.Mapping(0x1000, 0x2000, "r-xp", 0, tmp_path.stat().st_dev, 1, "/lib/x.so")
    other = tmp_path / "7" / "root" / "lib" / "x.so"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"\x7fELF")
    assert elf.open_mapped(7, mapping, tmp_path) is None


@pytest.mark.parametrize(
    "data", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF" + bytes(60), b"\x7fELF\x01\x01\x01" + bytes(60)]
)
def test_what_is_no_elf_file_is_said(data: bytes) -> None:
    with pytest.raises(ElfError):
        elf.read_elf(io.BytesIO(data))


def test_it_is_what_pyelftools_says(image: Image) -> None:
    with Path(image.path).open("rb") as file:
        reference = ELFFile(file)
        sections = {one.name: one for one in reference.iter_sections()}
        assert image.elf.sections == {name: (one["sh_addr"], one["sh_size"]) for name, one in sections.items()}
        loaded = [part for part in reference.iter_segments() if part["p_type"] == "PT_LOAD"]
        expected = [(one["p_offset"], one["p_vaddr"], one["p_filesz"]) for one in loaded]
        assert [(one.offset, one.address, one.size) for one in image.elf.segments] == expected
        table = sections[".dynsym"]
        assert isinstance(table, SymbolTableSection)
        defined = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols() if _is_defined(symbol)}
    assert len(defined) > 1000
    assert {name: image.elf.symbols.get(name) for name in defined} == defined
    assert defined.keys() <= set(image.elf.symbols)


def _is_defined(symbol: Symbol) -> bool:
    kinds = ("STT_NOTYPE", "STT_OBJECT", "STT_FUNC")
    return bool(symbol["st_shndx"] != "SHN_UNDEF" and symbol["st_info"]["type"] in kinds)


def test_a_damaged_file_is_refused_or_read() -> None:
    """Whatever its bytes say: nothing but ElfError, and no table larger than the file."""
    whole = Path(sys.executable).resolve().read_bytes()[:20000]
    random = Random(3)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(4):
            data[random.randrange(64)] = random.randrange(256)
        try:
            dict(elf.read_elf(io.BytesIO(bytes(data))).symbols)
        except ElfError:
            refused += 1
    assert refused > 100


def test_a_file_that_is_mapped_to_be_read_too() -> None:
    """As by a program that reads its own libraries: only where the loader put it counts."""
    flat = Mapping(0x1000, 0x9000, "r--p", 0, 8, 1, "/lib/x.so")
    loaded = [
        Mapping(0x10000 + at, 0x11000 + at, how, at, 8, 1, "/lib/x.so") for at, how in ((0, "r--p"), (0x1000, "r-xp"))
    ]
    assert elf.loaded_parts([flat, *loaded]) == loaded
    assert elf.loaded_parts([*loaded, flat]) == loaded
    page = Mapping(0xE000, 0xF000, "r-xp", 0xD000, 8, 1, "/lib/x.so")  # as libffi does for closures
    assert elf.loaded_parts([page, *loaded]) == loaded
    assert elf.loaded_parts([flat]) == [flat]
    trampolines = Mapping(0x3000, 0x4000, "r-xp", 0x1000, 8, 1, "/lib/x.so")
    assert elf.loaded_parts([trampolines, *loaded]) == loaded
    small = [Mapping(0x1000, 0x2000, "r--p", 0, 8, 1, "/s"), Mapping(0x2000, 0x3000, "r-xp", 0, 8, 1, "/s")]
    assert elf.loaded_parts(small) == small  # its segments are in one page of the file
