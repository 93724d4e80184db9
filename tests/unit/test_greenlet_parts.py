"""Parts of the greenlets' reading that need no process: layouts, code that is decoded, the search for words, pages."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from lastwords.capture.memory import PAGE, ProcessMemory
from lastwords.capture.procfs import Mapping
from lastwords.greenlets import words
from lastwords.greenlets.cython_fields import NUMBER, OBJECT, decode
from lastwords.greenlets.greenlet import SavedStack
from lastwords.greenlets.layouts import find_layout, load_table, parse_version
from lastwords.greenlets.pages import find_present, has_objects
from lastwords.greenlets.switch import Switch, read_stopped
from lastwords.greenlets.switch import decode as decode_switch

BASE = 0x7F00_0000_0000
# slp_switch of greenlet 3.5.6 for CPython 3.11 and, with a frame pointer, for 3.15
PLAIN = bytes.fromhex(
    "4157415641554154534883ec20 9bd97c240a 0fae5c240c 48896c2410 48895c2418 4889e3 4889df e804fcffff 85c0 7550"
    "488b15c10b0100 b801000000 48837a3800 742f 488b05ae0b0100 488b4038 4829d8 4801c4 4801c5 e864f8ffff 4831c0"
    "488b5c2418 488b6c2410 0fae54240c d96c240a 4883c420 5b 415c 415d 415e 415f c3"
)
FRAMED = bytes.fromhex(
    "554889e5 4157 4156 4155 4154 53 4883ec28 9bd97dba 0fae5dbc 48896dc0 48895dc8 4889e3 4889df e834fcffff 85c0 7550"
    "488b1571070100 b801000000 48837a3800 7430 488b055e070100 488b4038 4829d8 4801c4 4801c5 e8f4f8ffff 4831c0"
    "488b5dc8 488b6dc0 0fae55bc d96dba 4883c428 5b 415c 415d 415e 415f 5d c3"
)


def test_every_entry_of_the_table_is_whole_and_apart_from_the_others() -> None:
    entries = load_table().entries
    assert {entry.python for entry in entries} == {"2.7", *(f"3.{minor}" for minor in range(6, 16))}
    for entry in entries:
        assert parse_version(entry.first) <= parse_version(entry.last)
        assert entry.builds
        is_split = parse_version(entry.first) >= (2,)
        assert set(entry.structs) == {"PyGreenlet", "Greenlet"} | (
            {"UserGreenlet", "MainGreenlet", "ThreadState"} if is_split else set()
        )
        assert {"stack_start", "stack_stop", "stack_copy", "stack_saved", "stack_prev", "top_frame"} <= set(
            entry.structs["Greenlet"].fields
        )
    for python in {entry.python for entry in entries}:
        own = [entry for entry in entries if entry.python == python]
        for one, following in pairwise(own):
            assert parse_version(one.last) < parse_version(following.first)


@pytest.mark.parametrize(
    ("python", "version", "start"),
    [
        ("3.11", "3.5.6", 56),
        ("3.8", "3.1.1", 72),
        ("2.7", "2.0.2", 48),
        ("3.6", "1.1.3.post0", 16),
        ("3.13", "3.3.2", 56),
    ],
)
def test_layouts_by_release(python: str, version: str, start: int) -> None:
    layout = find_layout(python, version)
    assert layout is not None
    assert layout.offset("Greenlet", "stack_start") == start


@pytest.mark.parametrize(("python", "version"), [("3.11", "9.0"), ("3.11", "0.4.17"), ("3.99", "3.5.6"), ("3.11", "x")])
def test_an_unknown_release_has_no_layout(python: str, version: str) -> None:
    assert find_layout(python, version) is None


def test_where_greenlets_stand_in_c() -> None:
    assert decode_switch(PLAIN, BASE, BASE - 0x10000, BASE + 0x1000) == Switch(BASE + 0x5C, 16)
    assert decode_switch(FRAMED, BASE, BASE - 0x10000, BASE + 0x1000) == Switch(BASE + 0x5C, 80 - 64, 80)
    assert decode_switch(PLAIN, BASE, BASE, BASE + 0x1000) is None, "its calls would lead out of the module"
    assert decode_switch(bytes(200), BASE, 0, 1 << 63) is None


class OneStack:
    """Memory that is all zeros but for some words."""

    def __init__(self, known: dict[int, int]) -> None:
        self.known = known

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        return b"".join(self.known.get(at, 0).to_bytes(8, "little") for at in range(address, address + size, 8))

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """See Memory."""
        return [self.read(*one) for one in ranges]


def test_the_registers_come_from_the_saved_part_or_from_the_stack_itself() -> None:
    stack = SavedStack(start=BASE, stop=BASE + 4096, copy=0x5000, saved=16)
    memory = OneStack({BASE + 8: 1, BASE + 16: 0x1234, 0x5008: 0x99})
    stopped = read_stopped(Switch(7, 16), stack, memory)
    assert (stopped.registers, stopped.stop) == ({"rsp": BASE, "rip": 7, "rbp": 0x1234}, BASE + 4096)
    assert stopped.saved == [(BASE, struct.pack("<QQ", 0, 0x99))]
    assert read_stopped(Switch(7, 8), stack, memory).registers["rbp"] == 0x99
    assert "rbp" not in read_stopped(Switch(7, 16, 80), stack, memory).registers, "it does not prove itself"


@pytest.mark.parametrize(
    ("code", "load", "offset"),
    [
        ("488b4738 48830001 c3", OBJECT, 0x38),  # 3.8
        ("488b8790000000 48830001 c3", OBJECT, 0x90),
        ("8b07 53 3dffffffbf 773e 488b5f38 83c001", OBJECT, 0x38),  # 3.15
        ("4883ec18 48637f18 e8", NUMBER, 0x18),
        ("55 53 4889fb 4883ec08 8b07 3dffffffbf 7705 83c001 48637b18 e8", NUMBER, 0x18),
        ("31c0 c3", OBJECT, None),
        ("488b87ffff0000 c3", OBJECT, None),
    ],
)
def test_where_a_getter_takes_its_field_from(code: str, load: object, offset: int | None) -> None:
    assert decode(bytes.fromhex(code), load, 256) == offset  # type: ignore[arg-type]


def test_words_are_found_where_they_stand_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "ROOM", 3 * PAGE)
    from ctypes import addressof, create_string_buffer  # noqa: PLC0415

    room = create_string_buffer(12 * PAGE)
    start = -(-addressof(room) // PAGE) * PAGE
    offset = start - addressof(room)
    wanted, other = 0x7F12_3456_7890, 0x1122_3344_5566_7788
    places = {
        0: wanted,
        PAGE - 8: other,
        PAGE: wanted,
        5 * PAGE + 64: wanted,
        9 * PAGE - 8: other,
        10 * PAGE - 8: wanted,
    }
    for at, word in {**places, 7 * PAGE + 4: wanted}.items():  # the last is not aligned
        struct.pack_into("<Q", room, offset + at, word)
    ranges = [(start, 4 * PAGE), (start + 5 * PAGE, PAGE), (start + 7 * PAGE, 3 * PAGE), (1 << 40, PAGE)]
    found = list(words.find_words(ProcessMemory(os.getpid()), ranges, [wanted, other]))
    assert sorted(found) == sorted((start + at, word) for at, word in places.items())


def test_words_that_are_near_each_other_are_found_in_one_pass() -> None:
    first, second, other = 0x7F12_3456_7898, 0x7F12_3456_1020, 0x7F12_3456_7899
    room = ctypes.create_string_buffer(3 * PAGE)
    start = -(-ctypes.addressof(room) // PAGE) * PAGE
    places = {0: first, 8: second, PAGE - 8: second, 2 * PAGE - 8: first}
    for at, word in {**places, 16: other, 42: first, 64: first << 16}.items():  # none of these is one
        ctypes.memmove(start + at, word.to_bytes(8, "little"), 8)
    found = words.find_words(ProcessMemory(os.getpid()), [(start, 2 * PAGE)], [first, second], are_near=True)
    assert sorted(found) == sorted((start + at, word) for at, word in places.items())


def test_only_memory_that_is_there_and_is_the_programs_own_is_searched(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    flags = [0x80, 0x81, 0x00, 0x40, 0x44, 0xA0]  # there, there, never touched, swapped out, a guard, there
    (tmp_path / "7" / "pagemap").write_bytes(bytes(8 * 16) + b"".join(bytes(7) + bytes([one]) for one in flags))
    maps = [
        Mapping(16 * PAGE, 22 * PAGE, "rw-p", 0, 0, 0, "[heap]"),
        *(Mapping(16 * PAGE, 22 * PAGE, *rest) for rest in (
            ("r--p", 0, 0, 0, ""), ("rw-s", 0, 0, 0, ""), ("rw-p", 0, 1, 5, "/dev/mem"), ("rw-p", 0, 0, 0, "[vvar]")
        )),
    ]  # fmt: skip
    assert [has_objects(one) for one in maps] == [True, False, False, False, False]
    areas = find_present(7, maps, tmp_path)
    assert areas.ranges == [(16 * PAGE, 2 * PAGE), (21 * PAGE, PAGE)]
    assert (areas.size, areas.swapped, areas.left) == (3 * PAGE, PAGE, 0)
