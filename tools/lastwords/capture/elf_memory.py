"""An ELF file as a process has it in memory, where the file itself is not to be had: deleted, replaced, elsewhere.

What the loader needs is mapped: program headers, the dynamic section, its symbols, notes. Section headers, `.symtab`
and DWARF are not. Formats: System V ABI chapter 5; `DT_GNU_HASH` as glibc's elf/dl-lookup.c walks it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import msgspec

from lastwords.capture import elf
from lastwords.capture.elf import DTPMOD64, GNU_BUILD_ID, PT_LOAD, PT_TLS, ElfFile, Image, Segment
from lastwords.capture.elf_tables import (
    ENTRY,
    HEADER,
    MAGIC,
    PROGRAM_HEADER,
    RELOCATION,
    SYMBOL,
    TABLE_LIMIT,
    is_defined,
    read_notes,
)
from lastwords.capture.memory import Memory, ReadError
from lastwords.capture.procfs import Mapping

PT_DYNAMIC, PT_NOTE = 2, 4
DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_STRSZ, DT_SONAME = 4, 5, 6, 7, 8, 10, 14
DT_GNU_HASH = 0x6FFFFEF5
HEADERS_LIMIT, ENTRIES_LIMIT, SYMBOLS_LIMIT, BUCKETS_LIMIT = 256, 4096, 1_000_000, 1_000_000
NOTES_LIMIT, NAME_LIMIT, CHAIN_LIMIT = 64 << 10, 4096, 4096


class _Header(msgspec.Struct, frozen=True):
    type: int
    offset: int
    address: int
    file_size: int
    memory_size: int


class _Mapped(msgspec.Struct, frozen=True):
    """A file that lies `bias` bytes from its own addresses, which are [low, high)."""

    memory: Memory
    headers: tuple[_Header, ...]
    bias: int
    low: int
    high: int

    def read(self, address: int, size: int) -> bytes:
        """Bytes at an address of the file. Raises ReadError."""
        return self.memory.read(address + self.bias, size)

    def own(self, pointer: int) -> int:
        """A pointer of the dynamic section as an address of the file: glibc adds the bias to it in place, musl not."""
        return pointer - self.bias if self.low + self.bias <= pointer < self.high + self.bias else pointer


def read_image(memory: Memory, parts: Sequence[Mapping]) -> Image | None:
    """The image that `parts`, all mappings of one file by rising address, are of; None where it cannot be read."""
    first = next((part for part in parts if part.offset == 0), None)
    if first is None:
        return None
    try:
        found, bias = read_elf(memory, first.start)
    except ReadError:
        return None
    return Image(path=first.path, start=parts[0].start, end=parts[-1].end, bias=bias, elf=found)


def read_elf(memory: Memory, start: int) -> tuple[ElfFile, int]:
    """The file whose ELF header is at address `start`, and its load bias. Raises ReadError."""
    mapped = _open(memory, start)
    dynamic = dict(_read_dynamic(mapped))
    strings = _read_strings(mapped, dynamic)
    symbols = _read_symbols(mapped, dynamic, strings)
    found = ElfFile(
        symbols=symbols,
        segments=tuple(
            Segment(one.offset, one.address, one.file_size) for one in mapped.headers if one.type == PT_LOAD
        ),
        soname=_text_at(strings, dynamic[DT_SONAME]) if DT_SONAME in dynamic else None,
        build_id=_read_build_id(mapped),
        has_dwarf=False,
        has_symtab=False,
        tls_size=sum(one.memory_size for one in mapped.headers if one.type == PT_TLS),
        tls_slots=tuple(_read_tls_slots(mapped, dynamic)),
        code={name: mapped.read(symbols[name], 16) for name in elf.DECODED if name in symbols},
    )
    return found, mapped.bias


def read_build_id(memory: Memory, start: int) -> str | None:
    """The build-id of the file whose ELF header is at address `start`; None where it has none. Raises ReadError."""
    return _read_build_id(_open(memory, start))


def read_end(memory: Memory, start: int) -> int:
    """Where the file ends whose ELF header is at address `start`, with what it has of its own behind the file's bytes.

    Mappings do not tell: the kernel makes one of .bss and of other memory that follows. Raises ReadError.
    """
    mapped = _open(memory, start)
    return mapped.high + mapped.bias


def _open(memory: Memory, start: int) -> _Mapped:
    header = HEADER.unpack(memory.read(start, HEADER.size))
    at, size, count = header[5], header[9], header[10]
    if not header[0].startswith(MAGIC) or size != PROGRAM_HEADER.size or not 0 < count <= HEADERS_LIMIT:
        raise ReadError(f"no 64-bit little-endian ELF header is at {start:#x}")
    table = memory.read(start + at, size * count)
    headers = tuple(
        _Header(kind, offset, address, file_size, memory_size)
        for kind, _, offset, address, _, file_size, memory_size, _ in PROGRAM_HEADER.iter_unpack(table)
    )
    loaded = [one for one in headers if one.type == PT_LOAD]
    first = next((one for one in loaded if one.offset & -elf.PAGE == 0), None)
    if first is None:
        raise ReadError(f"the ELF file at {start:#x} loads nothing from its beginning")
    high = max(one.address + one.memory_size for one in loaded)
    return _Mapped(memory, headers, start - (first.address & -elf.PAGE), first.address & -elf.PAGE, high)


def _read_dynamic(mapped: _Mapped) -> Iterator[tuple[int, int]]:
    """Tag and value of the dynamic section; nothing for an executable without one."""
    for header in mapped.headers:
        if header.type == PT_DYNAMIC:
            size = min(header.memory_size // ENTRY.size, ENTRIES_LIMIT) * ENTRY.size
            for tag, value in ENTRY.iter_unpack(mapped.read(header.address, size)):
                if tag == 0:
                    return
                yield tag, value


def _read_strings(mapped: _Mapped, dynamic: dict[int, int]) -> bytes:
    if DT_STRTAB not in dynamic:
        return b""
    return mapped.read(mapped.own(dynamic[DT_STRTAB]), dynamic.get(DT_STRSZ, 0))


def _text_at(strings: bytes, at: int) -> str:
    end = strings.find(b"\0", at, at + NAME_LIMIT)
    return strings[at:end].decode("utf-8", "replace") if 0 <= at < end else ""


def _read_symbols(mapped: _Mapped, dynamic: dict[int, int], strings: bytes) -> dict[str, int]:
    if DT_SYMTAB not in dynamic:
        return {}
    found: dict[str, int] = {}
    table = _read_table(mapped, dynamic)
    for at, info, _, section, value, _ in SYMBOL.iter_unpack(table):
        if is_defined(info, section):
            found.setdefault(_text_at(strings, at), value)
    return found


def read_symbol_table(memory: Memory, start: int) -> tuple[bytes, bytes]:
    """The dynamic symbols (Elf64_Sym) of the file whose ELF header is at `start`, and their names. Raises ReadError."""
    mapped = _open(memory, start)
    dynamic = dict(_read_dynamic(mapped))
    if DT_SYMTAB not in dynamic:
        return b"", b""
    return _read_table(mapped, dynamic), _read_strings(mapped, dynamic)


def _read_table(mapped: _Mapped, dynamic: dict[int, int]) -> bytes:
    count = min(_count_symbols(mapped, dynamic), SYMBOLS_LIMIT)
    return mapped.read(mapped.own(dynamic[DT_SYMTAB]), count * SYMBOL.size)


def _count_symbols(mapped: _Mapped, dynamic: dict[int, int]) -> int:
    """Only the hash tables tell how many symbols there are."""
    if DT_HASH in dynamic:
        return int(struct.unpack("<4xI", mapped.read(mapped.own(dynamic[DT_HASH]), 8))[0])
    if DT_GNU_HASH in dynamic:
        return _count_hashed(mapped, mapped.own(dynamic[DT_GNU_HASH]))
    return 0


def _count_hashed(mapped: _Mapped, at: int) -> int:
    """One more than the last symbol of the last chain of a DT_GNU_HASH table, whose end a set bit 0 marks."""
    bucket_count, first, bloom, _ = struct.unpack("<4I", mapped.read(at, 16))
    if bucket_count > BUCKETS_LIMIT or bloom > BUCKETS_LIMIT:
        raise ReadError(f"the symbols' hash table at {at:#x} makes no sense")
    buckets = at + 16 + bloom * 8
    last = int(max(struct.unpack(f"<{bucket_count}I", mapped.read(buckets, bucket_count * 4)), default=0))
    chains = buckets + bucket_count * 4
    for symbol in range(last, last + CHAIN_LIMIT if last >= first else last):
        (hashed,) = struct.unpack("<I", mapped.read(chains + (symbol - first) * 4, 4))
        if hashed & 1:
            return symbol + 1
    return int(first)


def _read_tls_slots(mapped: _Mapped, dynamic: dict[int, int]) -> Iterator[int]:
    size = min(dynamic.get(DT_RELASZ, 0), TABLE_LIMIT) // RELOCATION.size * RELOCATION.size
    if DT_RELA in dynamic and size:
        for offset, info, _ in RELOCATION.iter_unpack(mapped.read(mapped.own(dynamic[DT_RELA]), size)):
            if info & 0xFFFF_FFFF == DTPMOD64:
                yield offset


def _read_build_id(mapped: _Mapped) -> str | None:
    for header in mapped.headers:
        if header.type == PT_NOTE and header.memory_size <= NOTES_LIMIT:
            for name, kind, described in read_notes(mapped.read(header.address, header.memory_size)):
                if name == b"GNU\0" and kind == GNU_BUILD_ID:
                    return described.hex()
    return None
