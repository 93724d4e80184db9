"""Instructions and exception tables from bytes: as CPython documents them, and nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastwords.capture.memory import ReadError
from lastwords.cpython.bytecode import (
    Handler,
    Instruction,
    decode,
    decode_handlers,
    find_enclosing,
    find_handler,
    find_instruction,
)
from lastwords.cpython.layouts import shipped_releases
from lastwords.cpython.opcodes import Opcodes, load_opcodes


def opcode(opcodes: Opcodes, name: str) -> int:
    return opcodes.names.index(name)


def test_an_extended_argument_is_part_of_its_instruction() -> None:
    opcodes = load_opcodes("3.10")
    code = bytes([opcode(opcodes, "EXTENDED_ARG"), 1, opcode(opcodes, "LOAD_FAST"), 2, opcode(opcodes, "POP_TOP"), 0])
    assert list(decode(opcodes, code)) == [Instruction(0, 4, "LOAD_FAST", 258), Instruction(4, 6, "POP_TOP", 0)]


def test_an_instruction_of_2_7_has_one_byte_or_three() -> None:
    opcodes = load_opcodes("2.7")
    extended = [opcode(opcodes, "EXTENDED_ARG"), 1, 0]
    code = bytes([opcode(opcodes, "POP_TOP"), *extended, opcode(opcodes, "LOAD_FAST"), 2, 1])
    assert list(decode(opcodes, code)) == [Instruction(0, 1, "POP_TOP", 0), Instruction(1, 7, "LOAD_FAST", 65794)]


def test_what_is_cached_belongs_to_its_instruction() -> None:
    opcodes = load_opcodes("3.13")
    code = bytes([opcode(opcodes, "LOAD_ATTR"), 4, *bytes(18), opcode(opcodes, "POP_TOP"), 0])
    found = list(decode(opcodes, code))
    assert found == [Instruction(0, 20, "LOAD_ATTR", 4), Instruction(20, 22, "POP_TOP", 0)]
    assert [find_instruction(found, at) for at in (0, 6, 19, 20, 21, 22, -1)] == [0, 0, 0, 1, 1, None, None]


@pytest.mark.parametrize("release", shipped_releases())
def test_every_release_has_its_instructions(release: str) -> None:
    opcodes = load_opcodes(release)
    needed = {"LOAD_FAST", "LOAD_GLOBAL", "LOAD_ATTR", "LOAD_DEREF", "EXTENDED_ARG"}
    assert needed < set(opcodes.names)
    assert {"SETUP_WITH", "BEFORE_WITH", "LOAD_SPECIAL"} & set(opcodes.names)
    assert set(opcodes.caches) < set(opcodes.names)


@given(release=st.sampled_from(shipped_releases()), data=st.binary(max_size=300))
def test_no_bytes_are_too_odd_to_decode(release: str, data: bytes) -> None:
    try:
        found = list(decode(load_opcodes(release), data))
    except ReadError:
        return
    assert [one.end for one in found[:-1]] == [one.start for one in found[1:]]


def test_an_exception_table_is_read_as_its_notes_say() -> None:
    """The example of Objects/exception_handling_notes.txt: 20 to 28 -> 100, depth 3, lasti."""
    table = bytes([0x80 | 20, 8, 0x40 | 1, 36, 7])
    assert list(decode_handlers(table)) == [Handler(40, 56, 200, 3)]
    assert list(decode_handlers(table * 2)) == [Handler(40, 56, 200, 3)] * 2
    assert list(decode_handlers(table[:-1] + table)) == [Handler(40, 56, 200, 3)]


@given(st.binary(max_size=300))
def test_no_exception_table_is_too_odd(table: bytes) -> None:
    handlers = list(decode_handlers(table))
    assert len(handlers) <= len(table) // 4
    assert len(list(find_enclosing(handlers, 0))) <= len(handlers)


def test_blocks_around_an_instruction_come_from_within() -> None:
    inner, outer, round_about = Handler(10, 20, 40, 2), Handler(0, 50, 60, 1), Handler(60, 70, 60, 1)
    handlers = [inner, outer, round_about]
    assert find_handler(handlers, 15) == inner
    assert list(find_enclosing(handlers, 15)) == [inner, outer]
    assert list(find_enclosing(handlers, 80)) == []
