"""What the code at an address is called: by DWARF where there is some, else by symbols."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from lastwords.native.debug_files import find_debug_file
from lastwords.native.drgn_lines import Lines, Location, has_lines, open_lines
from lastwords.native.images import Key, NativeImage
from lastwords.native.kept_lines import KeptLines
from lastwords.native.symbols import Symbols, read_mapped_tables, read_tables

KNOWN_LIMIT = 512  # files


class Names:
    """Of one file, by its own addresses. What was found is remembered."""

    def __init__(self, image: NativeImage) -> None:
        self._image = image
        self._debug = find_debug_file(image)
        self._kept = KeptLines(image, self._debug) if has_lines(image, self._debug) else None
        self._symbols: Symbols | None = None
        self._found: dict[int, Sequence[Location]] = {}

    def find(self, address: int) -> Sequence[Location]:
        """The functions that cover the code at `address`: inlined ones first, the one they are in last; or nothing."""
        if address not in self._found:
            self._found[address] = self._find(address)
        return self._found[address]

    def find_start(self, address: int) -> int | None:
        """Where the function begins that covers `address`, by the symbols; None where none of them does."""
        symbol = self._read_symbols().find(address)
        return symbol.address if symbol else None

    def keep(self) -> None:
        """What DWARF has told is there for the next run."""
        if self._kept is not None:
            self._kept.save()

    @cached_property
    def _lines(self) -> Lines | None:
        return open_lines(self._image, self._debug)

    def _find_lines(self, address: int) -> Sequence[Location]:
        """By DWARF; as it told a run before this one, if it did."""
        if self._kept is None:
            return []
        found = self._kept.find(address)
        if found is None:
            found = self._lines.find(address) if self._lines else []
            self._kept.add(address, found)
        return found

    def _find(self, address: int) -> Sequence[Location]:
        found = list(self._find_lines(address))
        if found and found[-1].function is not None:
            return found
        symbol = self._read_symbols().find(address)
        if symbol is None:
            return found
        outermost = found.pop() if found else Location()
        return [*found, Location(symbol.name, outermost.file, outermost.line, outermost.column)]

    def _read_symbols(self) -> Symbols:
        if self._symbols is None:
            files = [self._image.tables, self._debug.tables if self._debug else None]
            tables = [table for file in files if file for table in read_tables(file)]
            self._symbols = Symbols(tables if self._image.tables else [*tables, *read_mapped_tables(self._image)])
        return self._symbols


_known: dict[Key, Names] = {}


def open_names(image: NativeImage) -> Names:
    """The names of an image's file, the same for all who have mapped it."""
    key = image.key
    if key is None:
        return Names(image)
    if key not in _known:
        if len(_known) >= KNOWN_LIMIT:
            _known.clear()
        _known[key] = Names(image)
    return _known[key]


def keep_names() -> None:
    """What was found out is there for the next run: see kept_lines.py."""
    for names in _known.values():
        names.keep()
