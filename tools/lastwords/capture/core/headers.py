"""The headers of an ELF core file: where its memory and its notes lie. Refuses, by name, what is no core that we read.

Formats: System V ABI chapter 4 and 5; the kernel's fs/binfmt_elf.c writes cores, gdb's gcore.c too. A file is read by
position, never as a whole, and every number in it is checked against the file's size.
"""

from __future__ import annotations

import os
import shlex
import stat
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lastwords.capture.architectures import Architecture, architecture_named
from lastwords.errors import SetupError, TargetError

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr: type, flags, offset, vaddr, paddr, filesz, memsz, align
SECTION_INFO = 44  # where sh_info is in an Elf64_Shdr
PT_LOAD, PT_NOTE = 1, 4
WRITABLE = 2
PN_XNUM = 0xFFFF  # more program headers than that: the first section header says how many
ET_CORE = 4
TYPES = {1: "a relocatable object", 2: "a program", 3: "a program or a shared library"}
HEADERS_LIMIT = 300_000  # the kernel allows 65,530 mappings unless it is told otherwise
MAGIC = b"\x7fELF"
TOP = 1 << 64


class FileBytes:
    """The bytes of an open regular file by position. Closed when nobody has it any more."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.close = weakref.finalize(self, os.close, descriptor)

    @property
    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self.descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on: fewer, or none, where the file ends or cannot be read."""
        try:
            return os.pread(self.descriptor, max(min(size, self.size - offset), 0), offset)
        except (OSError, OverflowError):
            return b""


def open_regular(path: Path) -> FileBytes:
    """The file, which must be a regular one. Raises OSError: IsADirectoryError, or ValueError for other kinds.

    It is looked at before it is opened: to open a device may do something, and a core may name any.
    """
    _check_regular(path, path.stat().st_mode)
    file = FileBytes(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY))
    _check_regular(path, os.fstat(file.descriptor).st_mode)
    return file


def _check_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path} is a directory")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is not a regular file")


class ProgramHeader(msgspec.Struct, frozen=True):
    """`memory_size` bytes at `address`, of which the file has the first `file_size`, at `offset`; PF_* `flags`."""

    type: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int

    @property
    def permissions(self) -> str:
        """As /proc/PID/maps shows them; what a core has was private."""
        return "".join(letter if self.flags & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1))) + "p"


class CoreHeaders(msgspec.Struct, frozen=True):
    """A core's program headers: `loads` by rising address, `notes`; `missing` bytes were cut off its end."""

    architecture: Architecture
    loads: tuple[ProgramHeader, ...]
    notes: tuple[ProgramHeader, ...]
    missing: int


def read_headers(file: FileBytes, name: str) -> CoreHeaders:
    """The headers of the core `name`. Raises TargetError, which says what the file is instead."""
    begin = file.read(0, HEADER.size)
    _check_kind(begin, name)
    if len(begin) < HEADER.size:
        raise _cut_off(name, HEADER.size, file.size)
    header = HEADER.unpack(begin)
    architecture = _find_architecture(header[2], name)
    offset, sections, entry, count = header[5], header[6], header[9], header[10]
    if count == PN_XNUM:
        count = int.from_bytes(file.read(sections + SECTION_INFO, 4), "little")
    if entry != PROGRAM_HEADER.size or not 0 < count <= HEADERS_LIMIT:
        raise TargetError(
            f"{name} is damaged: it says that it has {count} program headers of {entry} bytes.", _ls(name)
        )
    if offset + count * entry > file.size:
        raise _cut_off(name, offset + count * entry, file.size)
    headers = tuple(parse_headers(file.read(offset, count * entry)))
    loads = sorted((one for one in headers if one.type == PT_LOAD and one.memory_size), key=lambda one: one.address)
    end = max((one.offset + one.file_size for one in headers), default=0)
    return CoreHeaders(
        architecture,
        tuple(one for one in loads if one.address + one.memory_size < TOP and one.file_size <= one.memory_size),
        tuple(one for one in headers if one.type == PT_NOTE),
        max(end - file.size, 0),
    )


def parse_headers(table: bytes) -> Iterator[ProgramHeader]:
    """The program headers in a table of them."""
    for kind, flags, offset, address, _, file_size, memory_size, _ in PROGRAM_HEADER.iter_unpack(
        table[: len(table) // PROGRAM_HEADER.size * PROGRAM_HEADER.size]
    ):
        yield ProgramHeader(kind, flags, offset, address, file_size, memory_size)


def _check_kind(begin: bytes, name: str) -> None:
    if not begin:
        fact = f"{name} is empty: nothing was written to it (a full disk? a limit on cores?)."
        raise TargetError(fact, "ulimit -c unlimited    # before the program runs again")
    if not begin.startswith(MAGIC):
        raise TargetError(f"{name} is not a core file: it begins with {begin[:8]!r}.", f"file {shlex.quote(name)}")
    is_big = begin[5:6] == b"\x02"
    kind = int.from_bytes(begin[16:18], "big" if is_big else "little")
    if len(begin) >= 18 and kind != ET_CORE:
        what = TYPES.get(kind, f"an ELF file of type {kind}")
        raise TargetError(
            f"{name} is {what}, not a core file.", f"lastwords core CORE {shlex.quote(name)}    # the core comes first"
        )
    if begin[4:5] == b"\x01":
        raise TargetError(f"{name} is the core file of a 32-bit program; lastwords reads 64-bit ones.", _gdb(name))
    if is_big:
        raise TargetError(f"{name} is of a big-endian machine; lastwords reads little-endian ones.", _gdb(name))


def _find_architecture(machine: int, name: str) -> Architecture:
    from elftools.elf.enums import ENUM_E_MACHINE  # noqa: PLC0415 (30 ms, which `attach` need not pay)

    known = next((text for text, number in ENUM_E_MACHINE.items() if number == machine), f"machine {machine}")
    try:
        return architecture_named(known)
    except LookupError:
        fact = f"{name} is the core file of another architecture ({known}); lastwords reads x86_64."
        raise TargetError(fact, _gdb(name)) from None


def _cut_off(name: str, wanted: int, size: int) -> TargetError:
    fact = f"{name} is cut off: its headers need {wanted} bytes, it has {size}; nothing of it can be read."
    return TargetError(fact, _ls(name))


def explain_unopened(name: str, error: OSError | ValueError) -> SetupError:
    """Why a file that was named cannot be opened."""
    if isinstance(error, IsADirectoryError):
        return SetupError(f"{name} is a directory, not a core file.", _ls(name))
    if isinstance(error, OSError):
        return SetupError(f"cannot read {name}: {error.strerror}", _ls(name))
    return SetupError(f"{name} is no regular file; a core has to be one, because it is not read in order.", _ls(name))


def _ls(name: str) -> str:
    return f"ls -l {shlex.quote(name)}"


def _gdb(name: str) -> str:
    return f"gdb -c {shlex.quote(name)}    # on a machine of that kind"
