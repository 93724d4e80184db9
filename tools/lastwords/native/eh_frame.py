"""Unwind tables: .eh_frame, found by the binary search table in .eh_frame_hdr (LSB Core 10.6; DWARF 5, 6.4).

Read from the file, or from the memory it is mapped in; only the one FDE that is wanted, and its CIE, are parsed.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import msgspec

from lastwords.native.eh_frame_bytes import FORMS, INDIRECT, OMITTED, CfiError, Cursor
from lastwords.native.eh_frame_program import CfaProgram, Row, Terms
from lastwords.native.images import Key, NativeImage

PT_GNU_EH_FRAME = 0x6474E550
HEADER_LIMIT = 16 << 20  # bytes of .eh_frame_hdr
SECTION_LIMIT = 64 << 20  # bytes of .eh_frame
ENTRY_LIMIT = 1 << 20  # bytes of one FDE
TABLE_ENCODING = 0x3B  # four bytes with a sign, relative to .eh_frame_hdr: the only one that linkers write
LENGTH = FORMS[0x03]
PAIR = struct.Struct("<II")
CIE_VERSIONS = (1, 3, 4)
KNOWN_LIMIT = 512  # files


class Cie(msgspec.Struct, frozen=True):
    """What the FDEs of one common information entry share."""

    terms: Terms
    return_register: int
    fde_encoding: int
    has_data: bool
    is_signal: bool
    operations: bytes


class EhFrame:
    """The unwind tables of one image, by the addresses of its file."""

    def __init__(self, image: NativeImage) -> None:
        self._image = image
        self._cies: dict[int, Cie] = {}

    def find_row(self, address: int) -> Row | None:
        """The rules for the code at `address`; None where the tables have none. Raises CfiError."""
        entry = self._find_entry(address)
        return self._read_row(entry, address) if entry is not None else None

    @cached_property
    def _index(self) -> tuple[Sequence[int], Sequence[int], int]:
        """Where FDEs begin, rising, and where they are, both relative to the third."""
        header = next((one for one in self._image.programs if one.type == PT_GNU_EH_FRAME), None)
        if header is not None and 12 <= header.memory_size <= HEADER_LIMIT:
            cursor = Cursor(self._image.read(header.address, header.memory_size), header.address)
            version, place, count, table = cursor.take(4)
            if version == 1 and table == TABLE_ENCODING and OMITTED not in (place, count):
                cursor.pointer(place, header.address)
                numbers = array("i", cursor.take(cursor.pointer(count, header.address) * 8))
                return numbers[::2], numbers[1::2], header.address
        found = sorted(self._scan())
        return [start for start, _ in found], [entry for _, entry in found], 0

    def _scan(self) -> Iterator[tuple[int, int]]:
        """(its first address, where it is) of each FDE: for files without a table, as musl-gcc links them."""
        section = self._image.tables.sections.get(".eh_frame") if self._image.tables else None
        if section is None or section.size > SECTION_LIMIT:
            return
        data, at = self._image.read(section.address, section.size), 0
        while at + 8 <= len(data):
            length, distance = PAIR.unpack_from(data, at)
            if distance and 4 < length <= ENTRY_LIMIT:
                cie = self._cie(section.address + at + 4 - distance)
                yield Cursor(data, section.address, at + 8).pointer(cie.fde_encoding), section.address + at
            at += 4 + length

    def _find_entry(self, address: int) -> int | None:
        starts, entries, base = self._index
        index = bisect_right(starts, address - base) - 1
        return entries[index] + base if index >= 0 else None

    def _read_entry(self, address: int) -> Cursor:
        """The bytes of a CIE or FDE, behind its length."""
        (length,) = LENGTH.unpack(self._image.read(address, 4) or bytes(4))
        if not 0 < length <= ENTRY_LIMIT:  # so none of the extended kind, which nobody writes
            raise CfiError(f"an unwind table's entry at {address:#x} has {length} bytes")
        return Cursor(self._image.read(address + 4, length), address + 4)

    def _read_row(self, entry: int, address: int) -> Row | None:
        cursor = self._read_entry(entry)
        distance = cursor.number(LENGTH)
        if not distance:
            raise CfiError(f"at {entry:#x} is no FDE")
        cie = self._cie(entry + 4 - distance)
        start = cursor.pointer(cie.fde_encoding)
        size = cursor.pointer(cie.fde_encoding & 0x0F)
        if not start <= address < start + size:
            return None
        if cie.has_data:
            cursor.take(cursor.uleb())
        program = CfaProgram(cie.terms)
        program.run(Cursor(cie.operations), start, address)
        program.initial = dict(program.rules)
        program.run(cursor, start, address)
        return program.row(cie.return_register, cie.is_signal)

    def _cie(self, address: int) -> Cie:
        if address not in self._cies:
            self._cies[address] = read_cie(self._read_entry(address))
        return self._cies[address]


def read_cie(cursor: Cursor) -> Cie:
    """The common information entry that the cursor is at, behind its length. Raises CfiError."""
    if cursor.number(LENGTH) != 0:
        raise CfiError(f"at {cursor.base:#x} is no CIE")
    version = cursor.byte()
    augmentation = cursor.text()
    if version not in CIE_VERSIONS or (augmentation and not augmentation.startswith(b"z")):
        raise CfiError(f"a CIE at {cursor.base:#x} is of a kind that is not known")
    if version == 4:
        cursor.take(2)  # sizes of an address and of a segment selector
    code_factor, data_factor = cursor.uleb(), cursor.sleb()
    return_register = cursor.byte() if version == 1 else cursor.uleb()
    encoding, is_signal = _read_augmentation(cursor, augmentation)
    terms = Terms(code_factor, data_factor, _reader_of(encoding))
    return Cie(terms, return_register, encoding, bool(augmentation), is_signal, cursor.data[cursor.at :])


def _read_augmentation(cursor: Cursor, letters: bytes) -> tuple[int, bool]:
    """How FDEs write addresses, and whether they are of signals' frames; the cursor goes behind it."""
    encoding, is_signal = 0, False
    if not letters:
        return encoding, is_signal
    size = cursor.uleb()
    end = cursor.at + size
    for letter in letters[1:].decode("latin-1"):
        if letter == "R":
            encoding = cursor.byte()
        elif letter == "P":
            cursor.pointer(cursor.byte() & ~INDIRECT)
        elif letter == "L":
            cursor.byte()
        elif letter == "S":
            is_signal = True
        else:
            break  # what follows is not known, but its size is
    cursor.at = end
    if encoding & INDIRECT:
        raise CfiError(f"a CIE at {cursor.base:#x} has addresses that are kept elsewhere")
    return encoding, is_signal


def _reader_of(encoding: int) -> Callable[[Cursor], int]:
    return lambda cursor: cursor.pointer(encoding)


_known: dict[Key, EhFrame] = {}


def open_eh_frame(image: NativeImage) -> EhFrame:
    """The unwind tables of an image's file, the same for all who have mapped it."""
    if image.key is None:
        return EhFrame(image)
    if image.key not in _known:
        if len(_known) >= KNOWN_LIMIT:
            _known.clear()
        _known[image.key] = EhFrame(image)
    return _known[image.key]
