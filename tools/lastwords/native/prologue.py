"""Which registers a function has saved, by the pushes that it begins with: for code without unwind tables."""

from __future__ import annotations

import struct

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.memory import Memory, ReadError

LOOKED_AT = 64  # bytes at the beginning of a function
PUSH_LIMIT = 8


def restore_pushed(
    code: bytes, architecture: Architecture, registers: Registers, back: int, memory: Memory
) -> Registers:
    """The caller's registers, as far as the function with this `code` saved them; `back`: where its return address is.

    Compilers push the registers that they will use first of all, side by side below the return address.
    """
    found = dict(registers)
    names = list(_find_pushed(code, architecture))
    try:
        words = struct.unpack(f"<{len(names)}Q", memory.read(back - 8 * len(names), 8 * len(names)))
    except ReadError:
        return found
    for name, word in zip(names, reversed(words), strict=True):
        if name in architecture.preserved:
            found[name] = word
    return found


def _find_pushed(code: bytes, architecture: Architecture) -> list[str]:
    """Names of the registers in the order of their pushes, up to the first instruction that is not known."""
    found: list[str] = []
    at = 0
    while (known := architecture.prologue.match(code, at)) and len(found) < PUSH_LIMIT:
        if push := known[1]:
            found.append(architecture.pushed[(push[-1] & 7) + 8 * (len(push) - 1)])
        at = known.end()
    return found
