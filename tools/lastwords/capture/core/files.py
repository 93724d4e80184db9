"""The files that a process had mapped when its core was written (NT_FILE), as they are on this machine.

A file is used only if it is the one that was mapped: its build-id is compared with the one in the core, which nearly
always has the first page of each ELF file; where there is no build-id, the program headers are. Only what the loader
maps read-only is taken from a file, and what the core says to be unchanged. A file that cannot be compared is used only
where the user names it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from lastwords.capture import elf
from lastwords.capture.core.headers import (
    HEADER,
    MAGIC,
    PT_LOAD,
    WRITABLE,
    ProgramHeader,
    open_regular,
    parse_headers,
)
from lastwords.capture.core.notes import FilePart
from lastwords.capture.elf import PAGE, Image
from lastwords.capture.elf_memory import read_build_id, read_image
from lastwords.capture.memory import Memory, Range, ReadError, unreadable
from lastwords.capture.procfs import Mapping

DELETED = " (deleted)"
HEADERS_LIMIT = 64 << 10  # bytes
Identity = tuple[str | None, bytes]  # build-id, program headers


class ElfOnDisk:
    """An ELF file as the loader would map it: bytes by the file's own addresses. See Memory. Raises ValueError."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, and ValueError for what is no 64-bit little-endian ELF file."""
        self.path = path
        self.file = open_regular(path)
        begin = self.file.read(0, HEADER.size)
        if len(begin) < HEADER.size or not begin.startswith(MAGIC + b"\x02\x01"):
            raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
        header = HEADER.unpack(begin)
        table = self.file.read(header[5], min(header[9] * header[10], HEADERS_LIMIT))
        self.loads = [one for one in parse_headers(table) if one.type == PT_LOAD]
        if not self.loads:
            raise ValueError(f"{path} is an ELF file that loads nothing")
        self.identity = read_identity(self, self.loads[0].address & -PAGE)

    def find(self, address: int) -> ProgramHeader | None:
        """The PT_LOAD whose pages `address` is in."""
        return next(
            (
                one
                for one in self.loads
                if one.address & -PAGE <= address < one.address + one.file_size + PAGE - 1 & -PAGE
            ),
            None,
        )

    def read(self, address: int, size: int) -> bytes:
        """See Memory. The rest of a last page is what follows in the file."""
        data = self.begin(address, size)
        if len(data) != size:
            raise unreadable(address, size, f"not in {self.path}")
        return data

    def begin(self, address: int, size: int) -> bytes:
        """As many bytes as one PT_LOAD has."""
        load = self.find(address)
        if load is None:
            return b""
        end = load.address + load.file_size + PAGE - 1 & -PAGE
        return self.file.read(load.offset + address - load.address, min(size, end - address))

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        return [self.begin(*item) or None for item in ranges]


def read_identity(memory: Memory, start: int) -> Identity:
    """What tells an ELF file from others, by its header at address `start`. Raises ReadError."""
    header = HEADER.unpack(memory.read(start, HEADER.size))
    table = memory.read(start + header[5], header[9] * header[10])
    try:
        return read_build_id(memory, start), table
    except ReadError:  # the note is on another page
        return None, table


class MappedFile(msgspec.Struct):
    """One file, its parts by rising address. It is opened when it is needed; `problem` says why it cannot be used.

    given: what the user says it is, which is used even where the core has nothing to check it by
    packed: finds the copy that came with the core
    """

    path: str
    parts: list[FilePart]
    core: Memory
    given: Path | None = None
    packed: Callable[[str], Path | None] | None = None
    is_opened: bool = False
    file: ElfOnDisk | None = None
    bias: int | None = None
    problem: str | None = None

    def identity(self) -> Identity | None:
        """What the core says of it; None where the core does not have its first page."""
        start = next((part.start for part in self.parts if part.offset == 0), None)
        try:
            return read_identity(self.core, start) if start else None
        except ReadError:
            return None

    def open(self) -> ElfOnDisk | None:
        """The file on this machine, if it is the one that was mapped."""
        if not self.is_opened:
            self.is_opened = True
            name = self.path.removesuffix(DELETED)
            self.problem = self._try(self.given or Path(name))
            packed = self.packed(name) if self.file is None and self.packed else None
            if packed is not None:
                self.problem = self._try(packed)
        return self.file

    def _try(self, path: Path) -> str | None:
        """Opens it; what is to be said of that."""
        try:
            file = ElfOnDisk(path)
        except OSError as error:
            wanted = self.identity()
            known = f" (its build-id is {wanted[0]})" if wanted and wanted[0] else ""
            return f"{self.path} is not to be had on this machine: {error.strerror or error}{known}"
        except (ValueError, ReadError) as error:
            return str(error)
        return self._accept(file, path)

    def _accept(self, file: ElfOnDisk, path: Path) -> str | None:
        wanted = self.identity()
        if wanted is not None and (difference := describe_difference(wanted, file.identity)):
            return f"{path} is not the file that was mapped: {difference}"
        if wanted is None and path != self.given:
            return f"{path} may be another file than was mapped: the core does not have its first page"
        self.file, self.bias = file, find_bias(file, self.parts)
        if wanted is None:
            return f"{path} was used unchecked: the core does not have the first page of {self.path}"
        return None

    def read(self, part: FilePart, address: int, size: int, is_unchanged: bool) -> bytes:
        """The first bytes at `address`, which is in `part`, as many as one PT_LOAD has. Raises ReadError."""
        file = self.open()
        bias = self.bias
        if file is None or bias is None:
            raise unreadable(address, size, f"not in the core file, and {self.problem or self.path + ' does not fit'}")
        own = address - bias
        load = file.find(own)
        if load is None or load.offset + own - load.address != part.offset + address - part.start:
            raise unreadable(address, size, f"not in the core file, nor loaded from {self.path}")
        if load.flags & WRITABLE and not is_unchanged:
            raise unreadable(address, size, f"not in the core file; {self.path} may have been changed there")
        if data := file.begin(own, min(size, part.end - address)):
            return data
        raise unreadable(address, size, f"not in the core file, and {self.path} ends before")

    def image(self) -> Image | None:
        """Its symbols: from the file, or from its pages in the core."""
        file = self.open()
        bias = self.bias
        found = elf.open_elf(file.path) if file else None
        if file is None or found is None or bias is None:
            return read_image(self.core, [_as_mapping(part) for part in self.parts])
        return Image(self.path, self.parts[0].start, self.parts[-1].end, bias, found, file.path)


def find_bias(file: ElfOnDisk, parts: Sequence[FilePart]) -> int | None:
    """How far the file lies from its own addresses; None where no mapping fits it."""
    for part in parts:
        for load in file.loads:
            if part.offset == load.offset & -PAGE:
                return part.start - (load.address & -PAGE)
    return None


def describe_difference(wanted: Identity, found: Identity) -> str:
    """What two identities differ in; empty where they do not."""
    if wanted[0] and found[0]:
        return f"its build-id is {found[0]}, the core has {wanted[0]}" if wanted[0] != found[0] else ""
    return "its program headers are others" if wanted[1] != found[1] else ""


def _as_mapping(part: FilePart) -> Mapping:
    return Mapping(part.start, part.end, "r--p", part.offset, 0, 0, part.path)


def is_named_after_python(path: str) -> bool:
    """By its own name, not its directories'."""
    return Path(path).name.startswith(("libpython", "python"))


class MappedFiles:
    """All files that a core names, by address and by path. `problems` grows by what a read needed and had not."""

    def __init__(self, parts: Sequence[FilePart], core: Memory) -> None:
        self.problems: list[str] = []
        self._parts = sorted(parts, key=lambda part: part.start)
        self._starts = [part.start for part in self._parts]
        self.by_path: dict[str, MappedFile] = {}
        for part in self._parts:
            if part.path.startswith("/"):
                own = self.by_path.setdefault(part.path, MappedFile(part.path, [], core))
                own.parts.append(part)

    def find(self, address: int) -> FilePart | None:
        """The mapping of a file at `address`."""
        index = bisect_right(self._starts, address) - 1
        part = self._parts[index] if index >= 0 else None
        return part if part and address < part.end else None

    def find_file(self, address: int) -> MappedFile | None:
        """The file that is mapped at `address`."""
        part = self.find(address)
        return self.by_path.get(part.path) if part else None

    def read(self, address: int, size: int, is_unchanged: bool) -> bytes:
        """The first bytes at `address`, as many as its file has in one piece. Raises ReadError."""
        part = self.find(address)
        file = self.by_path.get(part.path) if part else None
        if part is None or file is None:
            raise unreadable(address, size, "not in the core file")
        data = file.read(part, address, size, is_unchanged)
        if file.problem:  # that it is used unchecked
            self.note_problem(address)
        return data

    def note_problem(self, address: int) -> None:
        """Adds why the file that is mapped at `address` could not be used, if that is so, to `problems`."""
        file = self.find_file(address)
        if file and file.problem and file.problem not in self.problems:
            self.problems.append(file.problem)

    def missing(self) -> list[str]:
        """Why files that were asked for cannot be used."""
        return [one.problem for one in self.by_path.values() if one.is_opened and not one.file and one.problem]

    def unusable(self, program: str | None) -> list[str]:
        """Why the program, or a file named after Python, is neither here nor, with its symbols, in the core."""
        files = (one for path, one in self.by_path.items() if path == program or is_named_after_python(path))
        return [one.problem or f"{one.path} is no program" for one in files if one.image() is None]

    def images(self) -> Iterator[Image]:
        """Of all ELF files; those named after Python first."""
        names = sorted(self.by_path, key=lambda path: not is_named_after_python(path))
        return (image for name in names if (image := self.by_path[name].image()) is not None)
