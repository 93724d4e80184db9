"""The ELF files that a process has mapped, for their unwind tables and symbols: opened when a frame is found in them.

A listing takes microseconds. A file that is not to be had any more, and the vdso, are read as they lie in memory.
"""

from __future__ import annotations

import io
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from lastwords.capture.captured import Captured
from lastwords.capture.elf import GNU_BUILD_ID, PAGE, PT_LOAD, find_mapped, loaded_parts
from lastwords.capture.elf_tables import HEADER, MAGIC, PROGRAM_HEADER, ElfTables, Program, read_notes
from lastwords.capture.memory import Memory, ReadError, open_process_memory
from lastwords.capture.procfs import PROC, Mapping

if TYPE_CHECKING:
    from lastwords.capture.core.files import MappedFile, MappedFiles

PT_NOTE = 4
HEADERS_LIMIT = 256
NOTES_LIMIT = 64 << 10  # bytes
VDSO = "[vdso]"
Key = tuple[int, int, int, int]


class Part(Protocol):
    """One mapping of a file: a line of /proc/PID/maps, an entry of a core's NT_FILE."""

    @property
    def start(self) -> int:
        """Its first address."""

    @property
    def end(self) -> int:
        """The first address behind it."""

    @property
    def offset(self) -> int:
        """Where in the file it begins."""

    @property
    def path(self) -> str:
        """The file, as the process names it."""


class OpenFile(io.FileIO):
    """A file that is closed when nobody has it any more, and says nothing of it."""

    def __del__(self) -> None:
        self.close()


class NativeImage:
    """An ELF file in a process, at [start, end); `memory` is the process's.

    find: the file on this machine, checked to be the mapped one; called when it is first needed
    roots: directories below which the file system of the process, and ours, are: for files with debug information
    What cannot be had is None or empty; nothing is raised.
    """

    def __init__(
        self,
        path: str,
        parts: Sequence[Part],
        memory: Memory,
        find: Callable[[], Path | None],
        roots: Sequence[Path] = (Path("/"),),
    ) -> None:
        self.path = path
        self.roots = roots
        self.parts = parts
        self.memory = memory
        self.start, self.end = parts[0].start, parts[-1].end
        self._find = find

    @cached_property
    def file(self) -> BinaryIO | None:
        """The file, open; None where it is not to be had. The vdso is a whole file in memory."""
        try:
            if self.path == VDSO:
                return io.BytesIO(self.memory.read(self.start, self.end - self.start))
            found = self._find()
            return cast("BinaryIO", OpenFile(found)) if found else None
        except (OSError, ReadError):
            return None

    @cached_property
    def tables(self) -> ElfTables | None:
        """The file's headers; None where there is no file, or it is no ELF file."""
        try:
            return ElfTables(self.file) if self.file else None
        except (ValueError, OSError):
            return None

    @cached_property
    def programs(self) -> list[Program]:
        """The program headers, of the file or as they lie in memory."""
        if self.tables is not None:
            return self.tables.programs
        try:
            return list(_read_programs(self.memory, self.start)) if self.parts[0].offset == 0 else []
        except ReadError:
            return []

    @cached_property
    def key(self) -> Key | None:
        """What is the same for all who have mapped this file; None where there is no file."""
        try:
            found = os.fstat(self.file.fileno()) if self.file else None
        except OSError:  # the vdso's is in memory
            return None
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size) if found else None

    @cached_property
    def entry(self) -> int:
        """Where a program begins, by its own addresses; 0 where it does not say."""
        try:
            if self.file is not None:
                self.file.seek(0)
                return int(HEADER.unpack(self.file.read(HEADER.size))[4])
            return int(HEADER.unpack(self.memory.read(self.start, HEADER.size))[4])
        except (OSError, ReadError, struct.error):
            return 0

    @cached_property
    def bias(self) -> int | None:
        """How far it lies from its own addresses; None where no mapping fits it."""
        for part in self.parts:
            for one in self.programs:
                if one.type == PT_LOAD and part.offset == one.offset & -PAGE:
                    return part.start - (one.address & -PAGE)
        return None

    @cached_property
    def build_id(self) -> str | None:
        """Its GNU build-id in hexadecimal."""
        notes = (self.read(one.address, one.file_size) for one in self.programs if one.type == PT_NOTE)
        return find_build_id(note for data in notes for note in read_notes(data[:NOTES_LIMIT]))

    def read(self, address: int, size: int) -> bytes:
        """Bytes by the file's own addresses, of the file where it is there; empty where they are not all to be had."""
        try:
            if self.file is None or self.tables is None:
                return self.memory.read(address + (self.bias or 0), size)
            for one in self.programs:
                if one.type == PT_LOAD and one.address <= address and address + size <= one.address + one.file_size:
                    self.file.seek(one.offset + address - one.address)
                    data = self.file.read(size)
                    return data if len(data) == size else b""
        except (OSError, ReadError, ValueError, OverflowError):
            pass
        return b""


def find_build_id(notes: Iterable[tuple[bytes, int, bytes]]) -> str | None:
    """The GNU build-id among notes, in hexadecimal."""
    return next((data.hex() for owner, kind, data in notes if (owner, kind) == (b"GNU\0", GNU_BUILD_ID)), None)


def _read_programs(memory: Memory, start: int) -> Iterator[Program]:
    header = HEADER.unpack(memory.read(start, HEADER.size))
    at, size, count = header[5], header[9], header[10]
    if not header[0].startswith(MAGIC) or size != PROGRAM_HEADER.size or count > HEADERS_LIMIT:
        return
    for kind, _, offset, address, _, file_size, memory_size, _ in PROGRAM_HEADER.iter_unpack(
        memory.read(start + at, size * count)
    ):
        yield Program(kind, offset, address, file_size, memory_size)


class Images:
    """All of a process, by address."""

    def __init__(self, images: Iterable[NativeImage]) -> None:
        parts = sorted(
            ((part.start, part.end, image) for image in images for part in image.parts), key=lambda one: one[0]
        )
        self._starts = [start for start, _, _ in parts]
        self._parts = parts

    def find(self, address: int) -> NativeImage | None:
        """The one that is mapped at `address`."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._parts[index][1]:
            return None
        return self._parts[index][2]


def list_images(captured: Captured, files: MappedFiles | None = None, proc: Path = PROC) -> list[NativeImage]:
    """All ELF files of a moment; `files` are those of its core. None is opened, so some may be no ELF files."""
    parts: dict[str, list[Mapping]] = {}
    for one in captured.maps:
        if one.path.startswith("/") or one.path == VDSO:
            parts.setdefault(one.path, []).append(one)
    loaded = {path: loaded_parts(own) for path, own in parts.items()}
    if files is not None:
        known = {path: files.by_path[path] for path in loaded if path in files.by_path}
        return [NativeImage(path, loaded[path], captured.memory, _opener(one)) for path, one in known.items()]
    code = {path: own for path, own in loaded.items() if any("x" in one.permissions for one in own)}
    memory = _memory_of_code(captured)
    roots = (proc / str(captured.pid) / "root", Path("/"))
    return [NativeImage(path, own, memory, _finder(captured.pid, own[0], proc), roots) for path, own in code.items()]


def _opener(file: MappedFile) -> Callable[[], Path | None]:
    def find() -> Path | None:
        found = file.open()
        return found.path if found else None

    return find


def _finder(pid: int | None, mapping: Mapping, proc: Path) -> Callable[[], Path | None]:
    def find() -> Path | None:
        found = find_mapped(pid, mapping, proc) if pid is not None else None
        return found[0] if found else None

    return find


def _memory_of_code(captured: Captured) -> Memory:
    """A process does not change its code, so that of one that lives on is not captured: it is still there."""
    try:
        return open_process_memory(captured.pid) if captured.is_live and captured.pid else captured.memory
    except ReadError:
        return captured.memory
