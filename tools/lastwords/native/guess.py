"""A caller without unwind tables: musl, code made at run time, hand-written assembly.

The code that a signal's handler returns to is known by its bytes, which is certain. Else the frame pointer is followed,
or the stack is searched for the address behind a call that may have led here; both are guesses.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache

import msgspec

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.memory import PAGE, Memory, ReadError
from lastwords.native.eh_frame_bytes import MASK
from lastwords.native.images import Images

SEARCHED = 512  # words of the stack
CALL_SIZE = 7  # bytes of the longest call instruction
REACH = 1 << 16  # a function is no longer
DISTANCE = struct.Struct("<i")


class Guess(msgspec.Struct, frozen=True):
    """A caller's pc (0: there is none), sp and registers; `is_signal`: certainly what a signal interrupted."""

    pc: int
    sp: int
    registers: Registers
    is_signal: bool = False


class Guesser:
    """Looks for callers in the stacks of one moment."""

    def __init__(self, images: Images, architecture: Architecture) -> None:
        self._images = images
        self._architecture = architecture
        self._call_before = cache(self._find_call)

    def follows_call(self, address: int) -> bool:
        """Whether the code before `address` is a call instruction."""
        return self._call_before(address) is not None

    def find_caller(self, pc: int, sp: int, registers: Registers, memory: Memory, *, is_exact: bool) -> Guess | None:
        """The caller of the frame at `pc`; None where nothing speaks for one."""
        code = self._architecture.signal_return
        if self._read_code(pc, len(code)) == code:
            return self._find_interrupted(sp, memory)
        pointed = self._follow_pointer(sp, registers, memory)
        if pointed and (not is_exact or self._images.find(pc) is None):
            return pointed
        return self._search(pc, sp, registers, memory) or pointed

    def _find_interrupted(self, sp: int, memory: Memory) -> Guess | None:
        """What a signal interrupted: its registers are in the frame that the kernel has made. Raises ReadError."""
        names = self._architecture.signal_registers
        data = memory.read(sp + self._architecture.signal_context, 8 * len(names))
        found = dict(zip(names, struct.unpack(f"<{len(names)}Q", data), strict=True))
        pc, sp = found[self._architecture.program_counter], found[self._architecture.stack_pointer]
        return Guess(pc, sp, found, is_signal=True)

    def _follow_pointer(self, sp: int, registers: Registers, memory: Memory) -> Guess | None:
        name = self._architecture.frame_pointer
        pointer = registers.get(name, 0)
        if pointer < sp or pointer % 8:
            return None
        try:
            older, pc = struct.unpack("<QQ", memory.read(pointer, 16))
        except ReadError:
            return None
        if not older > pointer or not (self.follows_call(pc) or self._is_elsewhere(pc)):
            return None
        return Guess(pc, pointer + 16, {**self._kept(registers), name: older, **self._at(pointer + 16)})

    def _is_elsewhere(self, pc: int) -> bool:
        """Whether it may be code that no file has."""
        return PAGE < pc < 1 << 47 and self._images.find(pc) is None

    def _search(self, pc: int, sp: int, registers: Registers, memory: Memory) -> Guess | None:
        for address in range(sp, sp + 8 * SEARCHED, 8):
            try:
                word = int.from_bytes(memory.read(address, 8), "little")
            except ReadError:
                return None
            if self._may_call(word, pc):
                return Guess(word, address + 8, {**self._kept(registers), **self._at(address + 8)})
        return None

    def _may_call(self, back: int, pc: int) -> bool:
        """Whether a call before `back` may have led to the function that `pc` is in."""
        target = self._call_before(back)
        if target is None:
            return False
        if target and self._images.find(back) is self._images.find(pc):
            return target <= pc < target + REACH
        return True  # from another file, or to where a register says

    def _find_call(self, back: int) -> int | None:
        """Where the call instruction before `back` leads: 0 where the code does not tell, None where there is none."""
        found = self._architecture.calls.search(self._read_code(back - CALL_SIZE, CALL_SIZE))
        if found is None:
            return None
        return back + int(DISTANCE.unpack(found[1])[0]) & MASK if found[1] else 0

    def _read_code(self, address: int, size: int) -> bytes:
        image = self._images.find(address)
        return image.read(address - image.bias, size) if image is not None and image.bias is not None else b""

    def _kept(self, registers: Mapping[str, int]) -> Registers:
        return {name: registers[name] for name in self._architecture.preserved if name in registers}

    def _at(self, sp: int) -> Registers:
        return {self._architecture.stack_pointer: sp}
