"""What depends on the processor: registers, system calls, where a thread's own variables are. One module for each.

A register set is a dict by the names that the kernel's `user_regs_struct` has for them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

import msgspec

Registers = dict[str, int]

# include/linux/errno.h: ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK, of which a program never
# sees any; and EINTR. Only a call that has been interrupted has one of them as its result.
INTERRUPTED = frozenset(-number for number in (512, 513, 514, 516, 4))
RESTART_CALL = "restart_syscall"


class Architecture(msgspec.Struct, frozen=True):
    """One processor architecture on Linux. Register fields hold names of `registers`.

    registers: names in the order of `user_regs_struct` (8 bytes each), as PTRACE_GETREGSET and NT_PRSTATUS give them
    syscall_arguments, call_arguments: the six of a system call, and those of a C function that are integers
    syscall_number: the register that keeps the number of the system call a thread is in; negative: in none
    syscall_result: the register that has its result once it is done
    restarted, calls, jump_by_table, prologue: patterns, as `re` has them, compiled where they are used
    restarted: code that ends in a system call, its number the group 1 (little-endian)
    thread_pointer: the register from which `pthread_self()` follows
    vector_sets: what PTRACE_GETREGSET knows floating-point and vector registers by, the set that has the most first
    extended_set: the one that begins with the `fp_size` bytes that NT_PRFPREG has; a core has a note of either
    lay_out_extended: makes of those of the threads of one process what gdb understands
    syscalls: names of the system calls in which threads wait, by number
    dwarf_registers: names by DWARF's numbers, as unwind tables count them
    preserved: those that a function leaves to its caller as they were; frame_pointer: one of them
    signal_return: the code that the kernel lets a signal's handler return to
    signal_registers: names of what is saved at `signal_context` bytes above the stack pointer there, 8 bytes each
    thread_exit: code behind a call that ends the thread with what the call has returned
    calls: what a call instruction looks like; the code before a return address ends in it; group 1: the distance,
        group 2: that of the place that has the address
    jump_by_table: what an entry of a PLT looks like; group 1: how far from its end the address is that it jumps to
    prologue: what an instruction at a function's beginning may look like; group 1: it pushes a register; 2 or 3: it
        makes room of that many bytes
    pushed: names of registers by the number that a push has of them
    """

    name: str
    elf_machine: str
    registers: tuple[str, ...]
    stack_pointer: str
    program_counter: str
    syscall_number: str
    syscall_result: str
    restarted: bytes
    syscall_arguments: tuple[str, ...]
    call_arguments: tuple[str, ...]
    thread_pointer: str
    vector_sets: tuple[int, ...]
    extended_set: int
    fp_size: int
    lay_out_extended: Callable[[Sequence[bytes]], list[bytes]]
    syscalls: dict[int, str]
    dwarf_registers: tuple[str, ...]
    preserved: tuple[str, ...]
    frame_pointer: str
    signal_return: bytes
    signal_context: int
    signal_registers: tuple[str, ...]
    thread_exit: bytes
    calls: bytes
    jump_by_table: bytes
    prologue: bytes
    pushed: tuple[str, ...]

    def ident(self, registers: Registers) -> int | None:
        """`pthread_self()` of the thread with these registers."""
        return registers.get(self.thread_pointer) or None

    def pending_call(self, registers: Registers) -> int | None:
        """The number of the system call in which the thread with these registers waits; None: in none.

        A thread that is on its way out of a call with a result does not wait any more.
        """
        number, result = (_signed(registers.get(name, -1)) for name in (self.syscall_number, self.syscall_result))
        return number if number >= 0 and result in INTERRUPTED else None

    def name_of_call(self, number: int) -> str:
        """The name of a system call; "syscall 451" for one that is not in the table."""
        return self.syscalls.get(number, f"syscall {number}")

    def numbers_of_calls(self, names: frozenset[str]) -> list[int]:
        """The numbers of those that this architecture has."""
        return [number for number, name in self.syscalls.items() if name in names]

    def restarted_call(self, code: bytes) -> int | None:
        """Which call `restart_syscall` carries on, from the code before the thread's program counter; None: not told.

        The kernel puts that number into the place of the real one when a wait with a time goes on after a stop.
        """
        found = re.search(self.restarted, code)
        return int.from_bytes(found[1], "little") if found else None


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def this_machine() -> Architecture:
    """The architecture that lastwords runs on. Raises LookupError for one that nobody has described yet."""
    return architecture_named(os.uname().machine)


def architecture_named(machine: str) -> Architecture:
    """By the kernel's name ("x86_64") or ELF's ("EM_X86_64"). Raises LookupError."""
    from lastwords.capture.architectures.x86_64 import X86_64  # noqa: PLC0415 - it is made of what is above

    for one in (X86_64,):
        if machine in (one.name, one.elf_machine):
            return one
    raise LookupError(f"lastwords cannot read {machine} yet, only x86_64")
