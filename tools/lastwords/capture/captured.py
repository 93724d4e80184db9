"""What a capture has in hand: the memory of one moment, its threads as the kernel sees them, and how it was got."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.memory import Memory, Range
from lastwords.capture.procfs import Mapping


class Syscall(msgspec.Struct, frozen=True):
    """The system call that a thread is in: `name` is "syscall 451" where the table has none; six arguments."""

    number: int
    name: str
    arguments: tuple[int, ...]


class KernelThread(msgspec.Struct, frozen=True):
    """A thread as the kernel sees it. What could not be read is None.

    name: its `comm`; state: the letter of /proc/PID/task/TID/stat ("R", "S", "D" ...), None in a core
    registers: all general ones, or none; sp, pc: also where only /proc/PID/task/TID/syscall was read
    fp_registers: floating-point and vector registers as the first of the architecture's `vector_sets` has them that the
        kernel knows, in a core as NT_PRFPREG; empty where they were not read
    ident: `pthread_self()`
    inner_tid: its id in its own pid namespace, where that is another one and nobody is left to be asked
    stood_still: whether it is certain that it did not run while memory was read
    """

    tid: int
    name: str | None = None
    state: str | None = None
    syscall: Syscall | None = None
    registers: Registers = {}
    sp: int | None = None
    pc: int | None = None
    ident: int | None = None
    stood_still: bool = True
    fp_registers: bytes = b""
    inner_tid: int | None = None


class StackPointer(msgspec.Struct, frozen=True):
    """Where the stack of a thread is: its stack pointer and `pthread_self()`, each None where that is not known."""

    tid: int
    sp: int | None
    ident: int | None


class Captured(msgspec.Struct):
    """One moment. `method` in words; `pause_ms` how long threads stood still for it; `problems` what was not read.

    `pid` is None in a core; `is_live` says whether /proc still has the process of this moment.
    auxv: the auxiliary vector that the kernel gave the program; stacks: (address, size) of what was copied of C stacks
    monotonic_start: the time of the epoch at which its monotonic clock was 0, where that is not ours
    taken_at: by our monotonic clock, of a moment that is live
    """

    pid: int | None
    memory: Memory
    maps: Sequence[Mapping]
    threads: Sequence[KernelThread]
    architecture: Architecture
    method: str
    pause_ms: float | None = None
    size: int | None = None  # bytes copied
    problems: list[str] = []
    is_live: bool = False
    auxv: bytes = b""
    stacks: list[Range] = []
    monotonic_start: float | None = None
    taken_at: float = msgspec.field(default_factory=time.monotonic)

    @property
    def clock_start(self) -> float | None:
        """The time of the epoch at which the program's monotonic clock was 0; None where that is not known."""
        return time.time() - time.monotonic() if self.is_live else self.monotonic_start

    def thread(self, tid: int) -> KernelThread | None:
        """The thread with the kernel's id `tid`."""
        return next((one for one in self.threads if one.tid == tid), None)
