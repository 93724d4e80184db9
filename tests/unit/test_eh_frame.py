"""Unwind tables: the same rules as pyelftools finds, in files and in memory; damaged ones are refused, never obeyed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from lastwords.capture import procfs
from lastwords.capture.elf import loaded_parts
from lastwords.capture.memory import ProcessMemory, Range, ReadError
from lastwords.capture.procfs import Mapping
from lastwords.native.eh_frame import EhFrame
from lastwords.native.eh_frame_bytes import MASK, CfiError
from lastwords.native.eh_frame_expression import evaluate
from lastwords.native.eh_frame_program import Row
from lastwords.native.images import VDSO, NativeImage
from lastwords.native.symbols import Symbols, read_tables

KINDS = {"SAME_VALUE": "same"}  # by pyelftools; the others' names are ours in capitals
SOME = 150  # FDEs of each file, spread over it
RSP, RIP = 7, 16


def image_of(path: str, find: Callable[[], Path | None] | None = None) -> NativeImage:
    """A file that this process has mapped; `find` says that it is to be had elsewhere, or not at all."""
    parts = loaded_parts([one for one in procfs.read_maps(os.getpid()) if one.path == path])
    return NativeImage(path, parts, ProcessMemory(os.getpid()), find or (lambda: Path(path)))


def mapped_files() -> list[str]:
    maps = [one.path for one in procfs.read_maps(os.getpid()) if "x" in one.permissions and one.path.startswith("/")]
    return [one for one in dict.fromkeys(maps) if "/libc.so" in one or "/ld-" in one]


@cache
def known_rows(path: str) -> list[tuple[int, dict[object, object], FDE]]:
    """(address, decoded row, its FDE) by pyelftools, of SOME functions."""
    with Path(path).open("rb") as file:
        entries = [one for one in ELFFile(file).get_dwarf_info().EH_CFI_entries() if isinstance(one, FDE)]
        chosen = entries[:: max(len(entries) // SOME, 1)]
        return [(row["pc"], row, entry) for entry in chosen for row in entry.get_decoded().table]


def as_ours(row: dict[object, object]) -> tuple[object, dict[int, object]]:
    cfa = row["cfa"]
    where = bytes(cfa.expr) if cfa.expr is not None else (cfa.reg, cfa.offset)  # type: ignore[attr-defined]
    rules = {number: rule for number, rule in row.items() if isinstance(number, int)}
    return where, {
        number: (KINDS.get(rule.type, rule.type.lower()), 0 if rule.arg is None else rule.arg)  # type: ignore[attr-defined]
        for number, rule in rules.items()
    }


def as_theirs(row: Row) -> tuple[object, dict[int, object]]:
    where = row.cfa_code or (row.cfa_register, row.cfa_offset)
    rules: dict[int, object] = {
        number: (rule.kind, list(rule.code) if rule.code else rule.number) for number, rule in row.rules.items()
    }
    return where, rules


@pytest.mark.parametrize("path", mapped_files(), ids=lambda path: Path(path).name)
def test_rows_are_those_of_pyelftools(path: str) -> None:
    tables = EhFrame(image_of(path))
    checked = 0
    for address, known, entry in known_rows(path):
        if address >= entry["initial_location"] + entry["address_range"]:
            continue  # operations behind the last instruction
        found = tables.find_row(address)
        assert found is not None, hex(address)
        where, rules = as_ours(known)
        assert as_theirs(found) == (where, rules), hex(address)
        assert entry.cie is not None
        assert found.return_register == entry.cie["return_address_register"]
        checked += 1
    assert checked > 0


def test_tables_in_memory_are_those_of_the_file() -> None:
    path = next(one for one in mapped_files() if "/libc.so" in one)
    here, there = EhFrame(image_of(path)), EhFrame(image_of(path, lambda: None))
    addresses = [address for address, _, _ in known_rows(path)][:500]
    assert addresses
    assert [here.find_row(one) for one in addresses] == [there.find_row(one) for one in addresses]
    assert image_of(path).build_id == image_of(path, lambda: None).build_id


def test_a_signals_frame_and_code_without_rules() -> None:
    path = next(one for one in mapped_files() if "/libc.so" in one)
    tables = EhFrame(image_of(path))
    found = tables.find_row(restorer(path))
    assert found is not None
    assert found.is_signal
    assert tables.find_row(0) is None


def restorer(path: str) -> int:
    """Where the C library lets a signal's handler return to: mov $__NR_rt_sigreturn,%rax; syscall."""
    with Path(path).open("rb") as file:
        text = ELFFile(file).get_section_by_name(".text")
        assert text is not None
        at = text.data().find(b"\x48\xc7\xc0\x0f\0\0\0\x0f\x05")
    assert at > 0
    return int(text["sh_addr"]) + at


def test_the_vdso_is_read_from_memory() -> None:
    image = image_of(VDSO)
    assert image.tables is not None
    symbols = Symbols(list(read_tables(image.tables)))
    entry = next(
        one.address for at in range(0, image.end - image.start, 16) if (one := symbols.find(at)) and "time" in one.name
    )
    row = EhFrame(image).find_row(entry)
    assert row is not None
    assert (row.cfa_register, row.cfa_offset) == (RSP, 8)


def test_a_plt_entry_has_an_expression() -> None:
    """CFA: rsp + 8, and 8 more behind the entry's push: ((rip & 15) >= 11) << 3."""
    code = bytes([0x77, 8, 0x80, 0, 0x3F, 0x1A, 0x3B, 0x2A, 0x33, 0x24, 0x22])
    values = {RSP: 0x7000, RIP: 0x1000}
    assert evaluate(code, values, no_memory) == 0x7008
    assert evaluate(code, {**values, RIP: 0x100B}, no_memory) == 0x7010


def no_memory(address: int, size: int) -> int:
    raise ReadError(f"{size} bytes at {address:#x}", "unreadable")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (b"\x08\x05\x08\x03\x1c", 2),  # const1u 5, const1u 3, minus
        (b"\x09\xff\x08\x01\x22", 0),  # const1s -1, plus 1
        (b"\x31\x32\x16\x1c", 1),  # 1, 2, swap, minus
        (b"\x31\x32\x33\x17\x1c", (1 - 2) & MASK),  # 1 2 3 rot: 3 1 2; minus
        (b"\x31\x32\x14\x22", 3),  # 1, 2, over, plus
        (b"\x31\x28\x01\x00\x35\x37", 7),  # bra over the 5
        (b"\x2f\x01\x00\x35\x37", 7),  # skip
        (b"\x35\x06", 55),  # deref
        (b"\x11\x7f\x25\x00", None),  # shr takes two
        (b"\x2f\xfd\xff", None),  # skip back to itself: does not end
        (b"\xf0", None),
        (b"", None),
    ],
)
def test_expressions(code: bytes, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(CfiError):
            evaluate(code, {}, lambda address, _: address * 11)
    else:
        assert evaluate(code, {}, lambda address, _: address * 11) == expected


@given(st.binary(max_size=40), st.dictionaries(st.integers(0, 40), st.integers(0, MASK)))
@settings(max_examples=300, deadline=None)
def test_no_expression_does_harm(code: bytes, registers: dict[int, int]) -> None:
    with suppress(CfiError):
        assert 0 <= evaluate(code, registers, lambda address, size: address * 7 & MASK, 16) <= MASK


SMALL = next(one for one in mapped_files() if "/ld-" in one)
DATA = Path(SMALL).read_bytes()
ADDRESSES = [address for address, _, _ in known_rows(SMALL)]


def damaged(changes: dict[int, int]) -> EhFrame:
    """The tables of a file that has other bytes at some offsets."""
    data = bytearray(DATA)
    for at, value in changes.items():
        data[at] = value
    image = NativeImage(VDSO, [Mapping(0, len(data), "r-xp", 0, 0, 1, VDSO)], BytesMemory(bytes(data)), lambda: None)
    return EhFrame(image)


class BytesMemory:
    """A memory that is these bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, address: int, size: int) -> bytes:
        return self.data[address : address + size]

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        return [self.read(*one) for one in ranges]


def section(name: str) -> tuple[int, int]:
    """Offset and size in the file."""
    with io.BytesIO(DATA) as file:
        found = ELFFile(file).get_section_by_name(name)
        assert found is not None
        return int(found["sh_offset"]), int(found["sh_size"])


TABLES = [section(".eh_frame_hdr"), section(".eh_frame")]
OFFSETS = st.one_of(*(st.integers(start, start + min(size, 3000) - 1) for start, size in TABLES))


@given(st.dictionaries(OFFSETS, st.integers(0, 255), min_size=1, max_size=200))
@settings(max_examples=200, deadline=None)
def test_damaged_tables_are_refused(changes: dict[int, int]) -> None:
    tables = damaged(changes)
    for address in ADDRESSES[:40]:
        try:
            row = tables.find_row(address)
        except CfiError:
            continue
        assert row is None or row.rules is not None


def test_the_damage_is_done() -> None:
    """Or the test above would show nothing: damage everywhere leaves no row."""
    start, size = TABLES[1]
    tables = damaged(dict.fromkeys(range(start, start + size), 0xFF))
    whole = damaged({})
    assert all(whole.find_row(one) for one in ADDRESSES[:20])
    for address in ADDRESSES[:20]:
        with pytest.raises(CfiError):
            tables.find_row(address)
