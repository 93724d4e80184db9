"""Numbers as DWARF and .eh_frame write them (DWARF 5, 7.6; LSB Core, 10.5 and 10.6)."""

from __future__ import annotations

import struct

OMITTED = 0xFF
PCREL, DATAREL, INDIRECT = 0x10, 0x30, 0x80
FORMS = {
    0x00: struct.Struct("<Q"), 0x02: struct.Struct("<H"), 0x03: struct.Struct("<I"), 0x04: struct.Struct("<Q"),
    0x0A: struct.Struct("<h"), 0x0B: struct.Struct("<i"), 0x0C: struct.Struct("<q"),
}  # fmt: skip
ULEB, SLEB = 0x01, 0x09
LEB_LIMIT = 10  # bytes of a number of 64 bits
MASK = (1 << 64) - 1


class CfiError(ValueError):
    """Unwind tables that make no sense, or use what this reader does not know."""


class Cursor:
    """Reads `data`, whose first byte is at address `base`, from `at` on. Raises CfiError at its end."""

    def __init__(self, data: bytes, base: int = 0, at: int = 0) -> None:
        self.data = data
        self.base = base
        self.at = at

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if not 0 <= size <= len(self.data) - self.at:
            raise CfiError(f"{size} bytes at {self.base + self.at:#x} are more than are there")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form: struct.Struct) -> int:
        """The next number of a fixed size."""
        return int(form.unpack(self.take(form.size))[0])

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def uleb(self) -> int:
        """The next number of any size, without a sign."""
        return self._leb()[0]

    def sleb(self) -> int:
        """The next number of any size, with a sign."""
        value, bits, last = self._leb()
        return value - (1 << bits) if last & 0x40 else value

    def _leb(self) -> tuple[int, int, int]:
        value = 0
        for count in range(LEB_LIMIT):
            one = self.byte()
            value |= (one & 0x7F) << 7 * count
            if not one & 0x80:
                return value, 7 * count + 7, one
        raise CfiError(f"a number at {self.base + self.at:#x} does not end")

    def text(self) -> bytes:
        """The next text, which ends in a zero."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise CfiError(f"a text at {self.base + self.at:#x} does not end")
        return self.take(end + 1 - self.at)[:-1]

    def pointer(self, encoding: int, data_base: int = 0) -> int:
        """The next pointer in one of the DW_EH_PE_* encodings; what an indirect one points at is not looked up."""
        place = self.base + self.at
        value = self._plain(encoding & 0x0F)
        kind = encoding & 0x70
        if kind not in (0, PCREL, DATAREL):
            raise CfiError(f"a pointer at {place:#x} is written in a way ({encoding:#x}) that is not known")
        if not value:
            return 0  # none, whatever it is relative to
        return value + {0: 0, PCREL: place, DATAREL: data_base}[kind] & MASK

    def _plain(self, form: int) -> int:
        if form == ULEB:
            return self.uleb()
        if form == SLEB:
            return self.sleb()
        if form not in FORMS:
            raise CfiError(f"a pointer at {self.base + self.at:#x} is of a form ({form:#x}) that is not known")
        return self.number(FORMS[form])
