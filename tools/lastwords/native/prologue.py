"""Which registers a function has saved, by the pushes that it begins with: for code without unwind tables."""

from __future__ import annotations

import re
import struct

import msgspec

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.memory import Memory, ReadError

LOOKED_AT = 64  # bytes at the beginning of a function
PUSH_LIMIT = 8
ARGUMENTS = 64  # bytes of arguments that may be on the stack during a call


class Prologue(msgspec.Struct, frozen=True):
    """`pushed`: the registers in the order of their pushes; `size`: bytes of the frame with them, None: not told."""

    pushed: tuple[str, ...] = ()
    size: int | None = None

    def fits(self, sp: int, back: int) -> bool:
        """Whether the return address of a frame with this `sp`, which arguments may have moved, may be at `back`."""
        pushed = 8 * len(self.pushed)
        if self.size is None:
            return back - sp >= pushed
        return 0 <= back - sp - self.size <= ARGUMENTS


def read_prologue(code: bytes, architecture: Architecture) -> Prologue:
    """What the code at a function's beginning says, up to the first instruction that is not known.

    Compilers push the registers that they will use first of all, side by side below the return address.
    """
    pushed: list[str] = []
    at = 0
    pattern = re.compile(architecture.prologue)
    while (known := pattern.match(code, at)) and len(pushed) < PUSH_LIMIT:
        at = known.end()
        if push := known[1]:
            pushed.append(architecture.pushed[(push[-1] & 7) + 8 * (len(push) - 1)])
        elif size := known[2] or known[3]:
            return Prologue(tuple(pushed), 8 * len(pushed) + int.from_bytes(size, "little"))
    return Prologue(tuple(pushed))


def restore_pushed(
    prologue: Prologue, architecture: Architecture, kept: Registers, back: int, memory: Memory
) -> Registers:
    """The caller's registers: those that it finds as they were; `back`: where the return address is."""
    names = prologue.pushed
    try:
        words = struct.unpack(f"<{len(names)}Q", memory.read(back - 8 * len(names), 8 * len(names)))
    except ReadError:
        return kept
    saved = zip(names, reversed(words), strict=True)
    return kept | {name: word for name, word in saved if name in architecture.preserved}
