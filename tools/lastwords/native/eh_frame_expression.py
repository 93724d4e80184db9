"""DWARF expressions, as unwind tables use them: in PLT entries, and where a signal's frame has the registers."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Mapping

from lastwords.native.eh_frame_bytes import FORMS, MASK, CfiError, Cursor

ReadWord = Callable[[int, int], int]  # address, size in bytes -> the number there

STEPS_LIMIT = 200  # operations; real ones have a dozen
DEPTH_LIMIT = 256
SHORT = struct.Struct("<h")
CONSTANTS = {
    0x03: FORMS[0x04], 0x08: struct.Struct("<B"), 0x09: struct.Struct("<b"), 0x0A: FORMS[0x02], 0x0B: FORMS[0x0A],
    0x0C: FORMS[0x03], 0x0D: FORMS[0x0B], 0x0E: FORMS[0x04], 0x0F: FORMS[0x0C],
}  # fmt: skip


def signed(value: int) -> int:
    """64 bits as a number with a sign."""
    return value - (1 << 64) if value >> 63 else value


def _compare(how: Callable[[int, int], bool]) -> Callable[[int, int], int]:
    return lambda left, right: int(how(signed(left), signed(right)))


# left is the one below the top of the stack
BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: operator.and_, 0x1C: operator.sub, 0x1E: operator.mul, 0x21: operator.or_, 0x22: operator.add,
    0x24: lambda left, right: left << right if right < 64 else 0,
    0x25: lambda left, right: left >> right if right < 64 else 0,
    0x26: lambda left, right: signed(left) >> min(right, 63),
    0x27: operator.xor,
    0x29: _compare(operator.eq), 0x2A: _compare(operator.ge), 0x2B: _compare(operator.gt),
    0x2C: _compare(operator.le), 0x2D: _compare(operator.lt), 0x2E: _compare(operator.ne),
}  # fmt: skip
UNARY: dict[int, Callable[[int], int]] = {
    0x19: lambda value: abs(signed(value)), 0x1F: operator.neg, 0x20: operator.invert,
}  # fmt: skip
# the new topmost ones, the first on top; 0 is what was on top before: dup, drop, over, swap, rot
STACK: dict[int, tuple[int, ...]] = {
    0x12: (0, 0), 0x13: (), 0x14: (1, 0, 1), 0x16: (1, 0), 0x17: (1, 2, 0),
}  # fmt: skip


class _Machine:
    def __init__(self, code: bytes, registers: Mapping[int, int], read: ReadWord, start: tuple[int, ...]) -> None:
        self.code = Cursor(code)
        self.registers = registers
        self.read = read
        self.stack = list(start)

    def run(self) -> int:
        for _ in range(STEPS_LIMIT):
            if self.code.at >= len(self.code.data):
                return self.pop()
            self.step(self.code.byte())
        raise CfiError("an expression does not end")

    def pop(self) -> int:
        if not self.stack:
            raise CfiError("an expression takes more than it has")
        return self.stack.pop()

    def push(self, value: int) -> None:
        if len(self.stack) >= DEPTH_LIMIT:
            raise CfiError("an expression grows without end")
        self.stack.append(value & MASK)

    def step(self, op: int) -> None:
        if op in BINARY:
            right, left = self.pop(), self.pop()
            self.push(BINARY[op](left, right))
        elif op in UNARY:
            self.push(UNARY[op](self.pop()))
        elif op in CONSTANTS:
            self.push(self.code.number(CONSTANTS[op]))
        elif op in STACK:
            self.rearrange(STACK[op])
        elif 0x30 <= op <= 0x4F:  # lit
            self.push(op - 0x30)
        elif 0x70 <= op <= 0x8F:  # breg
            self.push(self.register(op - 0x70) + self.code.sleb())
        else:
            self.rare(op)

    def rearrange(self, order: tuple[int, ...]) -> None:
        taken = [self.pop() for _ in range(max(order, default=0) + 1)]  # the topmost first
        for index in reversed(order):
            self.push(taken[index])

    def register(self, number: int) -> int:
        if number not in self.registers:
            raise CfiError(f"register {number}, which is not known, is needed")
        return self.registers[number]

    def rare(self, op: int) -> None:
        code = self.code
        if op == 0x06:  # deref
            self.push(self.read(self.pop(), 8))
        elif op == 0x94:  # deref_size
            self.push(self.read(self.pop(), code.byte() & 15))
        elif op == 0x10:  # constu
            self.push(code.uleb())
        elif op == 0x11:  # consts
            self.push(code.sleb())
        elif op == 0x23:  # plus_uconst
            self.push(self.pop() + code.uleb())
        elif op == 0x92:  # bregx
            self.push(self.register(code.uleb()) + code.sleb())
        elif op == 0x15:  # pick
            self.pick(code.byte())
        elif op in (0x28, 0x2F):  # bra, skip
            self.jump(code.number(SHORT), always=op == 0x2F)
        elif op != 0x96:  # nop
            raise CfiError(f"an expression has an operation ({op:#x}) that is not known")

    def pick(self, index: int) -> None:
        if index >= len(self.stack):
            raise CfiError("an expression takes more than it has")
        self.push(self.stack[-1 - index])

    def jump(self, distance: int, *, always: bool) -> None:
        if always or self.pop():
            self.code.at += distance
        if not 0 <= self.code.at <= len(self.code.data):
            raise CfiError("an expression jumps out of itself")


def evaluate(code: bytes, registers: Mapping[int, int], read: ReadWord, *start: int) -> int:
    """What the expression yields; `start` lies on its stack before it begins.

    Raises CfiError for what makes no sense, and what `read` raises.
    """
    return _Machine(code, registers, read, start).run()
