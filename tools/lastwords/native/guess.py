"""A caller without unwind tables: musl, code made at run time, hand-written assembly.

The code that a signal's handler returns to is known by its bytes, which is certain. Else the stack is searched for the
address behind a call that leads here (by its distance, or by the table that it goes through), as far from the stack
pointer as the function's beginning says; or the frame pointer is followed. Both are guesses: what a stack had before
lies on it still.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache

import msgspec

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.memory import PAGE, Memory, ReadError
from lastwords.native.eh_frame_bytes import MASK
from lastwords.native.images import Images
from lastwords.native.prologue import LOOKED_AT, Prologue, read_prologue, restore_pushed

SEARCHED = 512  # words of the stack
CALL_SIZE = 7  # bytes of the longest call instruction
JUMP_SIZE = 11  # and of the longest entry of a PLT, as far as it jumps
REACH = 1 << 16  # a function is no longer
ENTRY_SIZE = 64  # bytes of a C library's _start
STACK_SIZE = 16 << 20  # a usual stack is no larger
DISTANCE = struct.Struct("<i")
FindStart = Callable[[int], int | None]


class Leads(Enum):
    """Where a call leads, as far as its code tells."""

    HERE = 1
    ANYWHERE = 2
    NEARBY = 3  # to another function of the file, which may have jumped here
    ELSEWHERE = 4


class Guess(msgspec.Struct, frozen=True):
    """A caller's pc (0: there is none), sp and registers; `is_signal`: certainly what a signal interrupted."""

    pc: int
    sp: int
    registers: Registers
    is_signal: bool = False


OUTERMOST = Guess(0, 0, {})


class Guesser:
    """Looks for callers in the stacks of one moment. `find_start`: where the function begins that an address is in."""

    def __init__(self, images: Images, architecture: Architecture, find_start: FindStart) -> None:
        self._images = images
        self._architecture = architecture
        self._find_start = find_start
        self._call_before = cache(self._find_call)

    def may_be_returned_to(self, address: int) -> bool:
        """Whether the code before `address` is a call instruction, or the kernel lets handlers return there."""
        return self._call_before(address) is not None or self._is_code(address, self._architecture.signal_return)

    def find_caller(self, pc: int, sp: int, registers: Registers, memory: Memory) -> Guess | None:
        """The caller of the frame at `pc`; None where nothing speaks for one. Raises ReadError."""
        if self._is_code(pc, self._architecture.signal_return):
            return self._find_interrupted(sp, memory)
        if self._is_entry(pc) or self._is_code(pc, self._architecture.thread_exit):
            return OUTERMOST
        pointed = self._follow_pointer(sp, registers, memory)
        if pointed and (self._images.find(pc) is None or self._leads_to(pointed.pc, pc) is Leads.HERE):
            return pointed
        found = self._search(pc, sp, registers, memory) or pointed
        if found is None and registers.get(self._architecture.frame_pointer) == 0:
            return OUTERMOST  # System V ABI, 3.4.1: so the outermost frame is marked
        return found

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
        if not older > pointer or not (self.may_be_returned_to(pc) or self._is_elsewhere(pc, sp)):
            return None
        return Guess(pc, pointer + 16, {**self._kept(registers), name: older, **self._at(pointer + 16)})

    def _is_elsewhere(self, pc: int, sp: int) -> bool:
        """Whether it may be code that no file has: an address that is not on the stack."""
        return PAGE < pc < 1 << 47 and not sp <= pc < sp + STACK_SIZE and self._images.find(pc) is None

    def _is_entry(self, pc: int) -> bool:
        """Whether it is the code that a program begins with, which nobody calls."""
        image = self._images.find(pc)
        if image is None or image.bias is None or not image.entry:
            return False
        return 0 < pc - image.bias - image.entry < ENTRY_SIZE

    def _search(self, pc: int, sp: int, registers: Registers, memory: Memory) -> Guess | None:
        """By the first return address of a call that leads here; else of one that may lead anywhere."""
        anywhere: Guess | None = None
        for back in range(sp, sp + 8 * SEARCHED, 8):
            try:
                word = int.from_bytes(memory.read(back, 8), "little")
            except ReadError:
                break
            leads = self._leads_to(word, pc)
            if leads is Leads.ELSEWHERE or (anywhere and leads is not Leads.HERE):
                continue
            prologue = self._read_prologue(pc, word)
            if prologue.fits(sp, back) and (leads is not Leads.NEARBY or prologue.size is not None):
                kept = restore_pushed(prologue, self._architecture, self._kept(registers), back, memory)
                found = Guess(word, back + 8, {**kept, **self._at(back + 8)})
                if leads is Leads.HERE:
                    return found
                anywhere = found
        return anywhere

    def _read_prologue(self, pc: int, back: int) -> Prologue:
        """Of the function that `pc` is in, and a call before `back` may lead to."""
        start = self._find_start(pc) or self._call_before(back)  # of which one leads here
        if not start or not 0 <= pc - start < REACH:
            return Prologue()
        return read_prologue(self._read_code(start, min(LOOKED_AT, pc - start)), self._architecture)

    def _leads_to(self, back: int, pc: int) -> Leads:
        """Whether the call before `back` leads to the function that `pc` is in."""
        target = self._call_before(back)
        if target is None:
            return Leads.ELSEWHERE
        if not target or self._is_entry(back):  # what a register said; or as deep as a stack goes
            return Leads.ANYWHERE
        start = self._find_start(pc)
        if self._images.find(target) is not self._images.find(pc):
            return Leads.ELSEWHERE
        is_here = target == start if start else target <= pc < target + REACH
        return Leads.HERE if is_here else Leads.NEARBY

    def _find_call(self, back: int) -> int | None:
        """Where the call instruction before `back` leads: 0 where the code does not tell, None where there is none."""
        code = self._read_code(back - CALL_SIZE, CALL_SIZE)
        found = re.search(self._architecture.calls, code)
        if found is None:
            return None
        if found[2]:
            return self._read_table(back + int(DISTANCE.unpack(found[2])[0]) & MASK)
        if not found[1]:
            return 0
        target = back + int(DISTANCE.unpack(found[1])[0]) & MASK
        jump = re.match(self._architecture.jump_by_table, self._read_code(target, JUMP_SIZE))
        if jump is None:
            return target
        return self._read_table(target + jump.end() + int(DISTANCE.unpack(jump[1])[0]) & MASK)

    def _read_table(self, address: int) -> int:
        """The address of a function that the loader has put there; 0 where it is not to be had."""
        image = self._images.find(address)
        try:
            return int.from_bytes(image.memory.read(address, 8), "little") if image is not None else 0
        except ReadError:
            return 0

    def _is_code(self, address: int, code: bytes) -> bool:
        return self._read_code(address, len(code)) == code

    def _read_code(self, address: int, size: int) -> bytes:
        image = self._images.find(address)
        return image.read(address - image.bias, size) if image is not None and image.bias is not None else b""

    def _kept(self, registers: Mapping[str, int]) -> Registers:
        return {name: registers[name] for name in self._architecture.preserved if name in registers}

    def _at(self, sp: int) -> Registers:
        return {self._architecture.stack_pointer: sp}
