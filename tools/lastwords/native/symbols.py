"""The name of the function at an address, by the symbols of an ELF file: all that a file without DWARF tells."""

from __future__ import annotations

import io
import lzma
from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from lastwords.capture.elf_tables import SYMBOL, ElfTables, Section, text_at

FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
NO_TYPE, SHN_UNDEF = 0, 0
UNPACKED_LIMIT = 64 << 20  # bytes of .gnu_debugdata
OVERLAPS = 8  # symbols before an address that are looked at, because one may lie within another
UNSIZED_LIMIT = 4096  # how far one without a size may reach: hand-written assembly
BINDINGS = {1: 0, 2: 1}  # STB_GLOBAL, STB_WEAK; then the local ones


class Symbol(msgspec.Struct, frozen=True):
    """A function at [address, address + size) by its file's own addresses."""

    name: str
    address: int
    size: int


# address, rank (the lower, the rather meant), where its name is, size, the table of names
_Entry = tuple[int, int, int, int, int]


class Symbols:
    """The functions of one file, by address. Its tables are read when the first is asked for."""

    def __init__(self, *files: ElfTables) -> None:
        """All files whose addresses are the same: the one that is mapped, and the one with its debug information."""
        self._names: list[bytes] = []
        entries = sorted(entry for file in files for entry in self._read(file))
        self._entries = entries
        self._starts = [one[0] for one in entries]

    def _read(self, file: ElfTables) -> Iterator[_Entry]:
        for tables in (file, _read_mini(file)):
            for name in (".symtab", ".dynsym") if tables else ():
                section = tables.sections.get(name) if tables else None
                if tables and section:
                    yield from self._read_table(tables, section, is_whole=name == ".symtab")

    def _read_table(self, tables: ElfTables, section: Section, *, is_whole: bool) -> Iterator[_Entry]:
        number = len(self._names)
        self._names.append(tables.names_of(section))
        data = tables.data(section)
        for name, info, _, place, value, size in SYMBOL.iter_unpack(data[: len(data) // SYMBOL.size * SYMBOL.size]):
            kind = info & 15
            if place != SHN_UNDEF and (kind in FUNCTIONS or (kind == NO_TYPE and is_whole and place < 0xFF00)):
                yield value, BINDINGS.get(info >> 4, 2) + 4 * (kind == NO_TYPE), name, size, number

    def find(self, address: int) -> Symbol | None:
        """The function that covers `address`; None where none does."""
        at = bisect_right(self._starts, address)
        covering = None
        for entry in reversed(self._entries[max(at - OVERLAPS, 0) : at]):
            start, size = entry[0], entry[3]
            if covering is not None and start != covering[0]:
                break
            if address < start + size or (not size and self._reaches(start, at, address)):
                covering = entry
        return self._name(covering) if covering else None

    def _reaches(self, start: int, at: int, address: int) -> bool:
        """Whether one without a size may be meant: nothing begins between it and the address."""
        return self._starts[at - 1] == start and address - start < UNSIZED_LIMIT

    def _name(self, entry: _Entry) -> Symbol:
        address, _, name_at, size, names = entry
        name = text_at(self._names[names], name_at)
        return Symbol(name.partition("@")[0], address, size)


def _read_mini(file: ElfTables) -> ElfTables | None:
    """The ELF file in .gnu_debugdata, packed by xz: Fedora's symbols of functions that .dynsym has not."""
    packed = file.data(file.sections.get(".gnu_debugdata"))
    if not packed:
        return None
    try:
        unpacked = lzma.LZMADecompressor(memlimit=UNPACKED_LIMIT * 4).decompress(packed, UNPACKED_LIMIT)
        return ElfTables(io.BytesIO(unpacked))
    except (lzma.LZMAError, ValueError, MemoryError):
        return None
