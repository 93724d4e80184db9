"""Where a suspended greenlet stands in C: inside `slp_switch`, with the sp that it had there (`stack_start`).

x86-64 (platform/switch_amd64_unix.h): it keeps rbp in a variable on the stack, and goes on behind its second call, to
`slp_restore_state`, after which it loads the floating point unit's control words. Both are found in its code.
"""

from __future__ import annotations

import re
import struct

import msgspec

from lastwords.capture.architectures import Registers
from lastwords.capture.elf import Image
from lastwords.capture.memory import Memory, ReadError
from lastwords.greenlets.greenlet import MAIN_STOP, SavedStack

FUNCTION = "slp_switch"
SIZE = 256  # bytes of code that are looked at
SAVED_LIMIT = 32 << 20
BEFORE = 32  # bytes from the function's beginning to where it stores the control words, at most
TEXT_LIMIT = 4 << 20
WORD = 8
SAVES_RBP = re.compile(rb"\x48\x89\x6c\x24(.)|\x48\x89\x6d(.)", re.DOTALL)  # mov [rsp+n], rbp; mov [rbp+n], rbp
SETS_FRAME = re.compile(rb"\x48\x89\xe5((?:\x41?[\x50-\x57])*)\x48\x83\xec(.)", re.DOTALL)  # mov rbp, rsp; push; sub
LOADS_CONTROL = re.compile(rb"\x0f\xae(?:\x54\x24|\x55)", re.DOTALL)  # ldmxcsr [rsp+n], [rbp+n]
STORES_CONTROL = re.compile(rb"\xd9[\x3c\x7c\x7d].{1,2}\x0f\xae[\x5c\x5d]", re.DOTALL)  # fstcw, stmxcsr
CALL = b"\xe8"
CALL_SIZE = 5


class Switch(msgspec.Struct, frozen=True):
    """Where greenlets go on, and where rbp is kept: `offset` bytes from sp.

    depth: where the function has a frame pointer, how far above sp that is: the rbp that is kept is this
    """

    pc: int
    offset: int
    depth: int | None = None


def find_switch(image: Image, memory: Memory) -> Switch | None:
    """In greenlet's module; None where its code is not as expected. Raises ReadError."""
    start = image.address(FUNCTION)
    if start is None:
        start = _search(image, memory)
    return decode(memory.read(start, SIZE), start, image.start, image.end) if start else None


def _search(image: Image, memory: Memory) -> int | None:
    """A place before that code, in a module without names."""
    address, size = image.elf.sections.get(".text", (0, 0))
    if not size:
        return None
    found = STORES_CONTROL.search(memory.read(address + image.bias, min(size, TEXT_LIMIT)))
    return address + image.bias + max(found.start() - BEFORE, 0) if found else None


def decode(code: bytes, address: int, low: int, high: int) -> Switch | None:
    """What the code at `address` says; a call's target lies in [low, high)."""
    save, load = SAVES_RBP.search(code), LOADS_CONTROL.search(code)
    if save is None or load is None:
        return None
    from_sp, from_rbp = save.groups()
    depth = None if from_sp else _find_depth(code)
    if not from_sp and depth is None:
        return None
    offset = int.from_bytes(from_sp or from_rbp, "little", signed=True) + (depth or 0)
    at = code.rfind(CALL, 0, load.start())
    while at >= 0:
        behind = at + CALL_SIZE
        target = address + behind + int(struct.unpack_from("<i", code, at + 1)[0])
        if behind <= load.start() and low <= target < high:
            return Switch(address + behind, offset, depth)
        at = code.rfind(CALL, 0, at)
    return None


def _find_depth(code: bytes) -> int | None:
    """How far below its frame pointer the function sets sp: by what it pushes, and by what it subtracts."""
    found = SETS_FRAME.search(code)
    if found is None:
        return None
    pushed = len(found[1].replace(b"\x41", b""))
    return pushed * WORD + int(found[2][0])


class Stopped(msgspec.Struct):
    """What unwinding a suspended greenlet begins with; `stop`: where its stack ends; None: with that of its thread."""

    registers: Registers
    saved: list[tuple[int, bytes]]
    stop: int | None


def read_stopped(switch: Switch, stack: SavedStack, memory: Memory) -> Stopped:
    """The registers and the saved stack of a suspended greenlet. Raises ReadError."""
    if not 0 <= stack.saved <= SAVED_LIMIT:
        raise ReadError(f"a saved stack of {stack.saved} bytes is too large")
    saved = memory.read(stack.copy, stack.saved) if stack.saved else b""

    def read(address: int) -> int:
        at = address - stack.start
        data = saved[at : at + WORD] if 0 <= at <= len(saved) - WORD else memory.read(address, WORD)
        return int.from_bytes(data, "little")

    registers = {"rsp": stack.start, "rip": switch.pc}
    base = read(stack.start + switch.offset)
    if switch.depth is None or base == stack.start + switch.depth:
        registers["rbp"] = base
    stop = None if stack.stop == MAIN_STOP else stack.stop
    return Stopped(registers, [(stack.start, saved)] if saved else [], stop)
