"""ELF files read from memory: what the loader mapped says the same as the file."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from msgspec.structs import replace

from lastwords.capture import elf, elf_memory, procfs
from lastwords.capture.elf import ElfFile, Image
from lastwords.capture.memory import ProcessMemory, ReadError, unreadable

SAME = ("segments", "soname", "build_id", "tls_size", "tls_slots", "code")


class Bytes:
    """A memory of some bytes at one address."""

    def __init__(self, start: int, data: bytes) -> None:
        self.start = start
        self.data = data

    def read(self, address: int, size: int) -> bytes:
        if not 0 <= size <= 1 << 24:
            raise ReadError(f"a size of {size} bytes")
        at = address - self.start
        if at < 0 or at + size > len(self.data):
            raise unreadable(address, size, "not there")
        return self.data[at : at + size]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        return [self.read(*item) for item in ranges]


def images() -> dict[str, tuple[Image, Image]]:
    """By path, every executable file of our own process: read from the file, and from memory."""
    maps = procfs.read_maps(os.getpid())
    found = {}
    for path in {one.path for one in maps if one.inode and "x" in one.permissions and one.path.startswith("/")}:
        parts = elf.loaded_parts([one for one in maps if one.path == path])
        of_file = elf.open_image(os.getpid(), maps, path)
        of_memory = elf_memory.read_image(ProcessMemory(os.getpid()), parts)
        assert of_file is not None
        assert of_memory is not None, path
        found[path] = (of_file, of_memory)
    return found


def test_where_it_ends() -> None:
    """Its .bss too, and nothing that follows."""
    for path, (image, _) in images().items():
        with Path(path).open("rb") as file:
            ends = [one["p_vaddr"] + one["p_memsz"] for one in ELFFile(file).iter_segments("PT_LOAD")]
        assert elf_memory.read_end(ProcessMemory(os.getpid()), image.start) == max(ends) + image.bias


def test_memory_says_what_the_file_says() -> None:
    found = images()
    assert len(found) > 2
    for of_file, of_memory in found.values():
        assert replace(of_memory, elf=of_file.elf, file=of_file.file) == of_file
        assert [getattr(of_memory.elf, name) for name in SAME] == [getattr(of_file.elf, name) for name in SAME]
        differ = {name for name, value in of_memory.elf.symbols.items() if of_file.elf.symbols.get(name) != value}
        assert not differ, of_file.path


def test_every_symbol_of_the_interpreter_that_is_exported() -> None:
    maps = procfs.read_maps(os.getpid())
    image = elf.find_python_image(os.getpid(), maps)
    assert image is not None
    read, bias = elf_memory.read_elf(ProcessMemory(os.getpid()), image.start)
    assert read.symbols["PyType_Type"] + bias == id(type)
    assert len(read.symbols) > 1000


@pytest.fixture(scope="module")
def clean() -> tuple[int, bytes]:
    """Where this process's libc lies, and its bytes."""
    maps = elf.loaded_parts([one for one in procfs.read_maps(os.getpid()) if one.path.endswith("/libc.so.6")])
    if not maps:
        pytest.skip("no libc.so.6 here")
    size = maps[-1].end - maps[0].start
    data = b"".join(
        ProcessMemory(os.getpid()).read(one.start, one.end - one.start)
        if "r" in one.permissions
        else bytes(one.end - one.start)
        for one in maps
    )
    assert len(data) == size
    return maps[0].start, data


def test_damaged_files_are_refused_or_read_never_more(clean: tuple[int, bytes]) -> None:
    start, data = clean
    whole: ElfFile = elf_memory.read_elf(Bytes(start, data), start)[0]
    chance = random.Random(1)
    refused = 0
    for _ in range(100):
        damaged = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            struct.pack_into(
                "<Q", damaged, chance.randrange(0, chance.choice((0x400, 0x3000))) & -8, chance.randrange(1 << 64)
            )
        try:
            elf_memory.read_elf(Bytes(start, bytes(damaged)), start)
        except ReadError:
            refused += 1
    assert "malloc" in whole.symbols
    assert 0 < refused < 100


@pytest.mark.parametrize("data", [b"", b"\x7fELF", bytes(4096), b"\x7fELF\x01\x01" + bytes(4096)])
def test_what_is_no_elf_file_is_said(data: bytes) -> None:
    with pytest.raises(ReadError):
        elf_memory.read_elf(Bytes(0x1000, data), 0x1000)
