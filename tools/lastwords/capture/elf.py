"""What an ELF file says: symbols, build-id, SONAME, and where it lies in a process.

Files are opened as the process has them, proven to be the mapped ones: mapped_files.py. What was read of a file is
remembered by its device, inode and mtime.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as ReadOnlyDict
from pathlib import Path
from typing import BinaryIO

import msgspec

from lastwords.capture.elf_tables import ElfTables
from lastwords.capture.mapped_files import find_file
from lastwords.capture.memory import Memory
from lastwords.capture.procfs import PROC, Mapping

PT_LOAD, PT_TLS = 1, 7
GNU_BUILD_ID = 3
DTPMOD64 = 16
PAGE = 4096
ROOTS = ("_PyRuntime", "_PyThreadState_Current")  # one of them is exported by every CPython


class Segment(msgspec.Struct, frozen=True):
    """A PT_LOAD: `size` bytes of the file from `offset` lie at `address` plus the load bias."""

    offset: int
    address: int
    size: int


class ElfFile(msgspec.Struct, frozen=True):
    """What was read of one ELF file. Addresses are the file's own: add the load bias.

    `tls_size`: bytes of its thread-local variables; `tls_slots`: where the loader writes its TLS module id.
    """

    symbols: ReadOnlyDict[str, int]
    segments: tuple[Segment, ...]
    soname: str | None
    build_id: str | None
    has_dwarf: bool
    has_symtab: bool
    tls_size: int = 0
    tls_slots: tuple[int, ...] = ()
    code: dict[str, bytes] = {}
    sections: dict[str, tuple[int, int]] = {}


class Image(msgspec.Struct, frozen=True):
    """An ELF file in a process: [start, end) and the load bias; `file` is how we could open it, if at all."""

    path: str
    start: int
    end: int
    bias: int
    elf: ElfFile
    file: Path | None = None

    def address(self, symbol: str) -> int | None:
        """Where the symbol is in the process; None where the file does not tell."""
        value = self.elf.symbols.get(symbol)
        return None if value is None else value + self.bias


def read_elf(file: BinaryIO) -> ElfFile:
    """Symbols and facts of a 64-bit little-endian ELF file. Raises ElfError for what is none."""
    tables = ElfTables(file)
    symbols = tables.symbols(".dynsym", ".symtab")
    loaded = [one for one in tables.programs if one.type == PT_LOAD]
    segments = tuple(Segment(one.offset, one.address, one.file_size) for one in loaded)
    return ElfFile(
        symbols=symbols,
        segments=segments,
        soname=tables.soname(),
        build_id=_read_build_id(tables),
        has_dwarf=".debug_info" in tables.sections or ".zdebug_info" in tables.sections,
        has_symtab=".symtab" in tables.sections,
        tls_size=sum(one.memory_size for one in tables.programs if one.type == PT_TLS),
        tls_slots=tuple(tables.relocations(DTPMOD64)),  # they become the module's TLS id
        code={name: _read_code(file, segments, symbols[name]) for name in DECODED if name in symbols},
        sections={name: (one.address, one.size) for name, one in tables.sections.items()},
    )


# Functions whose first instructions name a static variable: how it is found without symbols.
DECODED = ("PyInterpreterState_Head", "Py_IsInitialized", "PyEval_ReleaseLock")


def _read_build_id(tables: ElfTables) -> str | None:
    notes = (data for owner, kind, data in tables.notes() if owner == b"GNU\0" and kind == GNU_BUILD_ID)
    return next((data.hex() for data in notes), None)


def _read_code(file: BinaryIO, segments: Sequence[Segment], address: int) -> bytes:
    for segment in segments:
        if segment.address <= address < segment.address + segment.size:
            file.seek(segment.offset + address - segment.address)
            return file.read(16)
    return b""


def decode_static(elf: ElfFile, function: str) -> int | None:
    """The address of the variable that `function` (x86-64) only loads and returns; None for any other code.

    CPython 2.7 and 3.6 keep the head of their interpreters and `initialized` in static variables.
    """
    code = elf.code.get(function, b"")
    for opcode in (b"\x48\x8b\x05", b"\x8b\x05"):  # mov rax, [rip+x]; mov eax, [rip+x]
        length = len(opcode) + 4
        if code.startswith(opcode) and code[length : length + 1] == b"\xc3":
            return elf.symbols[function] + length + int(struct.unpack_from("<i", code, len(opcode))[0])
    return None


def decode_argument(elf: ElfFile, function: str) -> int | None:
    """The address of the variable that `function` (x86-64) begins by loading as its callee's first argument.

    CPython 2.7 keeps its `interpreter_lock` in a static variable, which PyEval_ReleaseLock hands on.
    """
    code = elf.code.get(function, b"")
    opcode = b"\x48\x8b\x3d"  # mov rdi, [rip+x]
    if not code.startswith(opcode) or len(code) < 7:
        return None
    return elf.symbols[function] + 7 + int(struct.unpack_from("<i", code, len(opcode))[0])


_known: dict[tuple[int, int, int, int], ElfFile | None] = {}
KNOWN_LIMIT = 512


def find_mapped(
    pid: int, mapping: Mapping, proc: Path = PROC, memory: Memory | None = None
) -> tuple[Path, os.stat_result] | None:
    """How the file behind a mapping can be opened, and what it is; None where it cannot be had any more.

    It is proven to be the mapped one: see mapped_files.py.
    """
    found = find_file(pid, mapping, proc, memory)
    return (found.path, found.status) if found else None


def open_mapped(
    pid: int, mapping: Mapping, proc: Path = PROC, memory: Memory | None = None
) -> tuple[ElfFile, Path] | None:
    """The ELF file behind a mapping and how it was opened, None where it is none or cannot be had any more."""
    found = find_mapped(pid, mapping, proc, memory)
    elf = _read_known(*found) if found else None
    return (elf, found[0]) if elf is not None and found is not None else None


def open_elf(path: Path) -> ElfFile | None:
    """The ELF file at `path`, remembered; None where it is none that we read. Raises OSError."""
    return _read_known(path, path.stat())


def _read_known(path: Path, found: os.stat_result) -> ElfFile | None:
    key = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
    if key not in _known:
        if len(_known) >= KNOWN_LIMIT:
            _known.clear()
        _known[key] = _try_elf(path)
    return _known[key]


def _try_elf(path: Path) -> ElfFile | None:
    try:
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                return None
            return read_elf(file)
    except (OSError, ValueError):
        return None


def find_image(
    pid: int, maps: Sequence[Mapping], symbols: Sequence[str], proc: Path = PROC, memory: Memory | None = None
) -> Image | None:
    """The first file of a process that defines one of `symbols`; files named after Python are looked at first."""
    files = dict.fromkeys(likely_first(mapping.path for mapping in maps if is_code_file(mapping)))
    for path in files:
        image = open_image(pid, maps, path, proc, memory)
        if image is not None and any(name in image.elf.symbols for name in symbols):
            return image
    return None


def find_python_image(
    pid: int, maps: Sequence[Mapping], proc: Path = PROC, memory: Memory | None = None
) -> Image | None:
    """The file that holds CPython, an executable or a libpython; None where the process is not CPython."""
    return find_image(pid, maps, ROOTS, proc, memory)


def likely_first(paths: Iterator[str]) -> list[str]:
    """By their own names, not their directories': what lies in `lib/python3.11/lib-dynload` is no Python."""
    return sorted(paths, key=lambda path: not Path(path).name.startswith(("libpython", "python")))


def is_code_file(mapping: Mapping) -> bool:
    """Whether it is code that comes from a file."""
    return mapping.path.startswith("/") and mapping.inode != 0 and "x" in mapping.permissions


def open_image(
    pid: int, maps: Sequence[Mapping], path: str, proc: Path = PROC, memory: Memory | None = None
) -> Image | None:
    """The ELF file that a process has mapped as `path`, and its load bias.

    A file that is not to be had any more is read from `memory`, as far as it is mapped.
    """
    from lastwords.capture.elf_memory import read_image  # noqa: PLC0415 - it is made of what is above

    parts = loaded_parts([mapping for mapping in maps if mapping.path == path])
    opened = open_mapped(pid, parts[0], proc, memory) if parts else None
    if opened is None and memory is not None and parts:
        return read_image(memory, parts)
    bias = find_bias(opened[0], parts) if opened is not None else None
    if opened is None or bias is None:
        return None
    return Image(path=path, start=parts[0].start, end=parts[-1].end, bias=bias, elf=opened[0], file=opened[1])


def find_image_at(
    pid: int, maps: Sequence[Mapping], address: int, proc: Path = PROC, memory: Memory | None = None
) -> Image | None:
    """The ELF file that a process has mapped at `address`."""
    mapping = next((one for one in maps if one.start <= address < one.end), None)
    return open_image(pid, maps, mapping.path, proc, memory) if mapping and mapping.path.startswith("/") else None


def loaded_parts(parts: Sequence[Mapping]) -> Sequence[Mapping]:
    """Of all mappings of one file, by rising address, those that the loader made.

    A program may map it again, to read it, or a page of its code: libffi does that for closures.
    """
    groups: list[list[Mapping]] = []
    reached = 0  # in the file; segments may share a page of it
    for one in parts:
        if not groups or one.offset < reached - PAGE:
            groups.append([])
        groups[-1].append(one)
        reached = one.offset + one.end - one.start
    code = [group for group in groups if any("x" in one.permissions for one in group)]
    return next((group for group in code if group[0].offset == 0), code[0] if code else parts)


def find_bias(elf: ElfFile, parts: Sequence[Mapping]) -> int | None:
    """How far the file lies from its own addresses: from the first mapping that begins a segment."""
    for mapping in parts:
        for segment in elf.segments:
            if mapping.offset == segment.offset & -PAGE:
                return mapping.start - (segment.address & -PAGE)
    return None
