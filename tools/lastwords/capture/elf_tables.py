"""The tables of a 64-bit little-endian ELF file: segments, sections, symbols, notes; read by offset, never as a whole.

By hand, because every command pays for it: pyelftools takes 50 ms to import and 20 ms for a libpython.
Formats: System V ABI chapters 4 and 5 (glibc's elf.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import BinaryIO

import msgspec

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr: type, flags, offset, vaddr, paddr, filesz, memsz, align
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")  # Elf64_Shdr: name, type, flags, addr, offset, size, link, info ...
SYMBOL = struct.Struct("<IBBHQQ")  # Elf64_Sym: name, info, other, section, value, size
RELOCATION = struct.Struct("<QQq")  # Elf64_Rela: offset, info, addend
ENTRY = struct.Struct("<QQ")  # Elf64_Dyn: tag, value
NOTE = struct.Struct("<III")  # Elf64_Nhdr: sizes of name and description, type
MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
SHT_NOTE, SHT_NOBITS, DT_NEEDED, DT_SONAME = 7, 8, 1, 14
TABLE_LIMIT = 64 << 20
NAMES_LIMIT = 1000


class ElfError(ValueError):
    """A file that is no ELF file that we read, or is damaged."""


class Section(msgspec.Struct, frozen=True):
    """One section header; `link` is the number of the section that its names are in."""

    type: int
    address: int
    offset: int
    size: int
    link: int


class Program(msgspec.Struct, frozen=True):
    """One program header."""

    type: int
    offset: int
    address: int
    file_size: int
    memory_size: int


class ElfTables:
    """The tables of one open file. Raises ElfError for what is none, and for numbers that cannot be."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        header = self._read_at(0, HEADER.size)
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            raise ElfError("not a 64-bit little-endian ELF file")
        _, _, _, _, _, programs, sections, _, _, size, count, section_size, section_count, names = HEADER.unpack(header)
        if (count and size != PROGRAM_HEADER.size) or (section_count and section_size != SECTION_HEADER.size):
            raise ElfError("its headers are of another size than ELF's")
        self.programs = [
            Program(kind, offset, address, file_size, memory_size)
            for kind, _, offset, address, _, file_size, memory_size, _ in self._rows(PROGRAM_HEADER, programs, count)
        ]
        rows = list(self._rows(SECTION_HEADER, sections, section_count if sections else 0))
        self._sections = [Section(kind, at, offset, size, link) for _, kind, _, at, offset, size, link, *_ in rows]
        known = self.data(self._sections[names]) if names < len(rows) else b""
        self.sections = {text_at(known, row[0]): one for row, one in zip(rows, self._sections, strict=True)}

    def _rows(self, form: struct.Struct, offset: int, count: int) -> Iterator[tuple[int, ...]]:
        table = self._read_at(offset, form.size * count)
        if len(table) != form.size * count:
            raise ElfError("its tables end early")
        return form.iter_unpack(table)

    def _read_at(self, offset: int, size: int) -> bytes:
        try:
            self._file.seek(offset)
        except (OverflowError, OSError) as error:
            raise ElfError(f"no file has an offset {offset:#x}") from error
        return self._file.read(size)

    def data(self, section: Section | None) -> bytes:
        """What the section holds; nothing for one that is not there, is too large, or has nothing in the file."""
        if section is None or section.type == SHT_NOBITS or section.size > TABLE_LIMIT:
            return b""
        return self._read_at(section.offset, section.size)

    def symbols(self, *names: str) -> Symbols:
        """The symbols of these sections, as far as they are there; what an earlier one defines counts."""
        tables = [section for name in names if (section := self.sections.get(name))]
        return Symbols(*((self.data(one), self.names_of(one)) for one in tables))

    def names_of(self, section: Section) -> bytes:
        """The names of what the section lists."""
        return self.data(self._sections[section.link]) if section.link < len(self._sections) else b""

    def soname(self) -> str | None:
        """What the dynamic section says the file is called."""
        return next(self._dynamic_texts(DT_SONAME), None)

    def needed(self) -> list[str]:
        """The libraries that it is linked to."""
        return list(self._dynamic_texts(DT_NEEDED))

    def _dynamic_texts(self, wanted: int) -> Iterator[str]:
        section = self.sections.get(".dynamic")
        table = self.data(section)
        for tag, value in ENTRY.iter_unpack(table[: len(table) // ENTRY.size * ENTRY.size]):
            if tag == wanted and section:
                yield text_at(self.names_of(section), value)

    def relocations(self, kind: int) -> Iterator[int]:
        """The addresses that the loader fills in that way."""
        table = self.data(self.sections.get(".rela.dyn"))
        for at in find_entries(table, RELOCATION.size, 8, kind):  # the low half of r_info
            yield int(RELOCATION.unpack_from(table, at)[0])

    def notes(self) -> Iterator[tuple[bytes, int, bytes]]:
        """All notes: see read_notes."""
        for section in self._sections:
            if section.type == SHT_NOTE:
                yield from read_notes(self.data(section))


class Symbols(Mapping[str, int]):
    """Defined symbols of some tables by name; what an earlier one defines counts.

    One is found by searching bytes; all are read only when all are wanted. `tables`: each with its names.
    """

    def __init__(self, *tables: tuple[bytes, bytes]) -> None:
        self._tables = [(table[: len(table) // SYMBOL.size * SYMBOL.size], names) for table, names in tables]

    def __getitem__(self, name: str) -> int:
        wanted = name.encode() + b"\0"
        for table, names in self._tables:
            for at in islice(find_all(names, wanted), NAMES_LIMIT):  # also the end of another name, which linkers share
                value = _find_symbol(table, at)
                if value is not None:
                    return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _all(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for table, names in self._tables:
            for at, info, _, section, value, _ in SYMBOL.iter_unpack(table):
                if is_defined(info, section):
                    found.setdefault(text_at(names, at), value)
        return found


def find_all(data: bytes, wanted: bytes) -> Iterator[int]:
    """Wherever `wanted` is."""
    at = data.find(wanted)
    while at >= 0:
        yield at
        at = data.find(wanted, at + 1)


def find_entries(table: bytes, size: int, offset: int, wanted: int) -> Iterator[int]:
    """Where those entries of a table are, of `size` bytes each, that have the number `wanted` in four at `offset`.

    The first of the four is looked for in all entries at once: a search for zeros among zeros would take long.
    """
    number = struct.pack("<I", wanted)
    for index in find_all(table[offset::size], number[:1]):
        at = index * size
        if table[at + offset : at + offset + 4] == number and at + size <= len(table):
            yield at


def _find_symbol(table: bytes, name: int) -> int | None:
    """The value of the first defined symbol whose name is at that offset."""
    for at in find_entries(table, SYMBOL.size, 0, name):
        _, info, _, section, value, _ = SYMBOL.unpack_from(table, at)
        if is_defined(info, section):
            return int(value)
    return None


def is_defined(info: int, section: int) -> bool:
    """Whether a symbol is here, and a function, an object, or of no type."""
    return section != 0 and info & 15 <= 2


def text_at(names: bytes, at: int) -> str:
    """The name that begins there."""
    return names[at : names.find(b"\0", at)].decode("utf-8", "replace")


def read_notes(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Owner, type and description of each note (Elf64_Nhdr) in a note segment."""
    at = 0
    while at + NOTE.size <= len(data):
        name_size, size, kind = NOTE.unpack_from(data, at)
        name = at + NOTE.size
        described = name + (name_size + 3 & -4)
        yield data[name : name + name_size], kind, data[described : described + size]
        at = described + (size + 3 & -4)
