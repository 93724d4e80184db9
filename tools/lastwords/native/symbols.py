"""The name of the function at an address, by the symbols of an ELF file: all that a file without DWARF tells."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from lastwords.capture.elf_memory import read_symbol_table
from lastwords.capture.elf_tables import SYMBOL, ElfTables, text_at
from lastwords.capture.memory import ReadError
from lastwords.native.images import NativeImage

FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
NO_TYPE, SHN_UNDEF = 0, 0
RESERVED = 0xFF00  # SHN_LORESERVE: numbers that are no sections
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


class Table(msgspec.Struct, frozen=True):
    """Symbols (Elf64_Sym) and their names; `is_whole`: it has the local functions, too."""

    symbols: bytes
    names: bytes
    is_whole: bool = False


class Symbols:
    """The functions of some tables, which count addresses alike, by address."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables
        self._entries = sorted(entry for number, table in enumerate(tables) for entry in _read_entries(table, number))
        self._starts = [one[0] for one in self._entries]

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
        name = text_at(self._tables[names].names, name_at)
        return Symbol(name.partition("@")[0], address, size)


def _read_entries(table: Table, number: int) -> Iterator[_Entry]:
    data = table.symbols
    for name, info, _, place, value, size in SYMBOL.iter_unpack(data[: len(data) // SYMBOL.size * SYMBOL.size]):
        kind = info & 15
        if not size and not table.is_whole:
            continue  # how far it reaches is not known, and what lies behind it may have no symbol
        if place != SHN_UNDEF and (kind in FUNCTIONS or (kind == NO_TYPE and table.is_whole and place < RESERVED)):
            yield value, BINDINGS.get(info >> 4, 2) + 4 * (kind == NO_TYPE), name, size, number


def read_tables(file: ElfTables) -> Iterator[Table]:
    """All of a file, those that are packed in it too."""
    for tables in (file, _read_mini(file)):
        for name in (".symtab", ".dynsym") if tables else ():
            section = tables.sections.get(name) if tables else None
            if tables and section:
                yield Table(tables.data(section), tables.names_of(section), is_whole=name == ".symtab")


def read_mapped_tables(image: NativeImage) -> Iterator[Table]:
    """That of an image whose file is not to be had: what the loader needs."""
    with suppress(ReadError):
        yield Table(*read_symbol_table(image.memory, image.start))


def _read_mini(file: ElfTables) -> ElfTables | None:
    """The ELF file in .gnu_debugdata, packed by xz: Fedora's symbols of functions that .dynsym has not."""
    packed = file.data(file.sections.get(".gnu_debugdata"))
    if not packed:
        return None
    import lzma  # noqa: PLC0415 (start-up time)

    try:
        unpacked = lzma.LZMADecompressor(memlimit=UNPACKED_LIMIT * 4).decompress(packed, UNPACKED_LIMIT)
        return ElfTables(io.BytesIO(unpacked))
    except (lzma.LZMAError, ValueError, MemoryError):
        return None
