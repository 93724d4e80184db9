"""ELF files, on the process that runs the test: symbols lie where their objects are."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from lastwords.capture import elf, procfs
from lastwords.capture.elf import Image
from lastwords.capture.elf_tables import ElfError


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
