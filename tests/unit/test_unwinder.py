"""Stacks that make no sense: unwinding ends, says why, and raises nothing."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lastwords.capture import procfs
from lastwords.capture.architectures.x86_64 import X86_64
from lastwords.capture.elf import loaded_parts
from lastwords.capture.memory import ProcessMemory, Range, ReadError, unreadable
from lastwords.native.images import NativeImage
from lastwords.native.unwind import NativeStack, open_unwinder
from lastwords.native.walk import FRAMES_LIMIT, OverlaidMemory

STACK = 0x7000_0000_0000
WORDS = 300


class Words:
    """A stack of these words, and nothing else."""

    def __init__(self, words: Sequence[int]) -> None:
        self.data = struct.pack(f"<{len(words)}Q", *words)

    def read(self, address: int, size: int) -> bytes:
        at = address - STACK
        if at < 0 or at + size > len(self.data):
            raise unreadable(address, size, "no memory there")
        return self.data[at : at + size]

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        raise ReadError("nobody asks for many")


@cache
def image() -> NativeImage:
    """This process's C library."""
    maps = [one for one in procfs.read_maps(os.getpid()) if "/libc.so" in one.path or "/ld-musl" in one.path]
    path = maps[0].path
    parts = loaded_parts([one for one in maps if one.path == path])
    return NativeImage(path, parts, ProcessMemory(os.getpid()), lambda: Path(path))


def unwind(words: Sequence[int], registers: dict[str, int]) -> NativeStack:
    return open_unwinder(Words(words), [image()], X86_64).unwind(registers)


CODE = st.integers(0, 0x1B_0000).map(lambda offset: image().start + offset)
PLACES = st.integers(0, WORDS * 8).map(lambda offset: STACK + (offset & -8))
VALUES = st.one_of(CODE, PLACES, st.just(0), st.integers(0, (1 << 64) - 1))


@given(st.lists(VALUES, max_size=WORDS), st.dictionaries(st.sampled_from(X86_64.registers), VALUES), CODE, PLACES)
@settings(max_examples=100, deadline=None)
def test_any_stack_ends(words: list[int], registers: dict[str, int], pc: int, sp: int) -> None:
    stack = unwind(words, {**registers, "rip": pc, "rsp": sp})
    assert stack.frames[0].pc == pc
    assert len(stack.frames) <= FRAMES_LIMIT
    exact = [frame for frame in stack.frames if not frame.guessed and not frame.inlined]
    jumps = sum(frame.is_signal for frame in stack.frames)
    falls = sum(one.sp >= other.sp for one, other in pairwise(exact))
    assert falls <= jumps


def test_a_stack_that_comes_back_to_itself() -> None:
    """A signal's frame may lead anywhere, even to itself."""
    code = X86_64.signal_return
    tables = image()
    assert tables.bias is not None
    at = next(
        one.address for one in tables.programs if one.type == 1 and code in tables.read(one.address, one.file_size)
    )
    found = next(one for one in tables.programs if one.address == at)
    pc = tables.bias + at + tables.read(at, found.file_size).index(code)
    words = [0] * 60
    names = X86_64.signal_registers
    words[X86_64.signal_context // 8 + names.index("rip")] = pc
    words[X86_64.signal_context // 8 + names.index("rsp")] = STACK
    stack = unwind(words, {"rip": pc, "rsp": STACK})
    assert stack.error == f"it comes back to the signal's frame at {STACK:#x}"
    assert [frame.is_signal for frame in stack.frames] == [True, True]


def test_registers_that_are_not_known() -> None:
    assert unwind([], {}) == NativeStack([], "its registers are not known")
    stack = unwind([], {"rip": 0x1234, "rsp": STACK})
    assert [frame.pc for frame in stack.frames] == [0x1234]
    assert stack.error == "the caller of 0x1234 is not known: there is no unwind table for it"


def test_bytes_over_a_memory() -> None:
    memory = OverlaidMemory(Words([1, 2, 3, 4]), [(STACK + 4, b"abcd"), (STACK + 6, b"zzzz")])
    assert memory.read(STACK, 8) == b"\1\0\0\0abcd"
    assert memory.read(STACK + 4, 4) == b"abcd"
    assert memory.read(STACK + 8, 8) == b"zz" + bytes([0]) * 6
    assert memory.read_many([(STACK + 16, 1), (STACK - 8, 16)]) == [b"\3", None]
