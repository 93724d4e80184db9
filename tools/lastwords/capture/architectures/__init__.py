"""What depends on the processor: registers, system calls, where a thread's own variables are. One module for each.

A register set is a dict by the names that the kernel's `user_regs_struct` has for them.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

Registers = dict[str, int]


@dataclass(frozen=True)
class Architecture:
    """One processor architecture on Linux. Register fields hold names of `registers`.

    registers: names in the order of `user_regs_struct` (8 bytes each), as PTRACE_GETREGSET and NT_PRSTATUS give them
    syscall_arguments, call_arguments: the six of a system call, and those of a C function that are integers
    syscall_number: the register that keeps the number of the system call a thread is in; negative: in none
    syscall_result: the register that has its result once it is done
    thread_pointer: the register from which `pthread_self()` follows
    syscalls: names of the system calls in which threads wait, by number
    """

    name: str
    elf_machine: str
    registers: tuple[str, ...]
    stack_pointer: str
    program_counter: str
    syscall_number: str
    syscall_result: str
    syscall_arguments: tuple[str, ...]
    call_arguments: tuple[str, ...]
    thread_pointer: str
    syscalls: dict[int, str]

    def ident(self, registers: Registers) -> int | None:
        """`pthread_self()` of the thread with these registers."""
        return registers.get(self.thread_pointer) or None


def this_machine() -> Architecture:
    """The architecture that lastwords runs on. Raises LookupError for one that nobody has described yet."""
    return architecture_named(platform.machine())


def architecture_named(machine: str) -> Architecture:
    """By the kernel's name ("x86_64") or ELF's ("EM_X86_64"). Raises LookupError."""
    from lastwords.capture.architectures.x86_64 import X86_64  # noqa: PLC0415 - it is made of what is above

    for one in (X86_64,):
        if machine in (one.name, one.elf_machine):
            return one
    raise LookupError(f"lastwords cannot read {machine} yet, only x86_64")
