"""gdb: the registers of a thread at the entry of a function that is watched. Sourced before session.py.

A breakpoint on a name also stops where the compiler has copied the function into its callers, behind its first
instructions in unoptimised builds, and twice where one function is a jump to the next.
"""

import signal
import sys
from typing import Dict

import gdb

REGISTERS = ("rip", "rsp", "rdi", "rsi", "rdx", "rcx", "r8", "r9", "fs_base")
NAMES = {"rip": "pc", "rsp": "sp"}
WORD = 0xFFFFFFFFFFFFFFFF
PROLOGUE_BYTES = 192  # unoptimised, a function of variable arguments stores 14 registers first
SI_USER = 0  # asm-generic/siginfo.h: sent by kill(); others that a process sends are negative
INT3 = b"\xcc"
NEEDS_NO_ARGUMENT = ("PyErr_PrintEx", "_PyErr_PrintEx")  # the exception is pending in the thread
JUMPS = {"_PyErr_WriteUnraisableMsg": "PyErr_WriteUnraisable"}  # 3.8 to 3.12
jumped: "dict[int, tuple[str | None, Dict[str, int]]]" = {}  # tid -> where it stopped last


def read_registers() -> Dict[str, int]:
    """Those of the selected thread that lastwords asks for: `sp` and `return_address` as they are at the entry."""
    frame = gdb.newest_frame()
    values = {}
    for name in REGISTERS:
        try:
            values[NAMES.get(name, name)] = int(frame.read_register(name)) & WORD
        except (gdb.error, ValueError):  # no such register here
            continue
    caller = frame.older() if is_behind_entry(frame) else None
    if caller is not None and frame.type() != gdb.INLINE_FRAME:
        values["sp"] = (int(caller.read_register("rsp")) & WORD) - 8
    try:
        word = gdb.selected_inferior().read_memory(values["sp"], 8)
        values["return_address"] = int.from_bytes(bytes(word), sys.byteorder)
    except (gdb.MemoryError, KeyError):
        pass
    return values


def is_behind_entry(frame: "gdb.Frame") -> bool:
    """Whether the function's first instruction is another one; without debug symbols gdb stops at the first."""
    function = frame.function()
    return function is not None and int(function.value().address or 0) != frame.pc()


def is_own_trap() -> bool:
    """Whether the selected thread, which is at no breakpoint, was sent a SIGTRAP: gdb's events do not say so.

    It may also have met a breakpoint that gdb has taken out since (it does so when another process execs): then it
    is put back to the instruction that it has not run.
    """
    try:
        if int(gdb.parse_and_eval("$_siginfo.si_signo")) != signal.SIGTRAP:
            return False
        is_sent = int(gdb.parse_and_eval("$_siginfo.si_code")) <= SI_USER
        pc = int(gdb.newest_frame().read_register("rip")) & WORD
        if is_sent or bytes(gdb.selected_inferior().read_memory(pc - 1, 1)) == INT3:
            return True
        gdb.execute("set var $pc = {:#x}".format(pc - 1), to_string=True)
    except (gdb.error, gdb.MemoryError):
        pass
    return False


def is_event(location: "str | None") -> bool:
    """Whether the selected thread is about to run the function `location`, with its arguments where they belong."""
    frame = gdb.newest_frame()
    if frame.type() == gdb.INLINE_FRAME:
        return location in NEEDS_NO_ARGUMENT
    function = frame.function()
    if function is None or not is_behind_entry(frame):
        return True
    return 0 <= frame.pc() - int(function.value().address or 0) <= PROLOGUE_BYTES  # not its cold part


def is_jump(tid: int, location: "str | None", registers: Dict[str, int]) -> bool:
    """Whether the thread stopped in the function before, which has jumped here: the same call, on the same stack."""
    before, old = jumped.pop(tid, (None, {}))
    jumped[tid] = location, registers
    if before is None or JUMPS.get(location or "") != before:
        return False
    return all(old.get(name) == registers.get(name) for name in ("sp", "return_address"))
