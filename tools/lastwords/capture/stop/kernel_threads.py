"""The threads of a live process as the kernel sees them: from /proc while they run, from registers while they are held.

A thread that is not held may still have stood still: `read_steps` before and after tells for certain.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lastwords.capture import procfs
from lastwords.capture.architectures import RESTART_CALL, Architecture, Registers, this_machine
from lastwords.capture.captured import KernelThread, StackPointer, Syscall
from lastwords.capture.memory import Memory, ProcessMemory
from lastwords.capture.procfs import PROC, TaskCall
from lastwords.capture.stop.holding import Stopped, decode_registers

CODE_SIZE = 16  # bytes before a program counter in which the number of the system call is set
FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_FLAGS, FUTEX_MATCH_ANY = 0, 9, 0x180, 0xFFFF_FFFF  # linux/futex.h
CLOCKS = 16  # include/linux/time.h, MAX_CLOCKS
DESCRIPTORS_LIMIT = 1 << 16  # of one poll; no address is as low (vm.mmap_min_addr)

Step = tuple[int, TaskCall]


class Seen(msgspec.Struct, frozen=True):
    """A thread before its system call has a name."""

    tid: int
    name: str | None
    state: str | None
    call: TaskCall | None
    registers: Registers


def read_kernel_threads(pid: int, proc: Path = PROC, memory: Memory | None = None) -> list[KernelThread]:
    """The threads of a process as /proc shows them, by rising tid; nothing is stopped. Raises ProcessGoneError.

    `stood_still` is False for all: nobody knows. `memory` is where their code is, if not to be opened here.
    """
    seen = look_at(pid, procfs.read_tasks(pid, proc), proc)
    return _name_calls(seen, frozenset(), this_machine(), memory or ProcessMemory(pid))


def describe_held(
    stopped: Sequence[Stopped], others: Sequence[Seen], names: Mapping[int, str | None], memory: Memory
) -> list[KernelThread]:
    """All threads of the process in `memory`, by rising tid: `names` of those that stand still, others as seen."""
    architecture = this_machine()
    seen = [_from_registers(architecture, one, names.get(one.tid)) for one in stopped]
    still = frozenset(one.tid for one in stopped)
    return _name_calls(sorted([*seen, *others], key=lambda one: one.tid), still, architecture, memory)


def look_at(pid: int, tids: Iterable[int], proc: Path = PROC) -> list[Seen]:
    """These threads as /proc shows them now; those that have ended are left out."""
    return [one for tid in tids if (one := _look(pid, tid, proc))]


def find_stacks(stopped: Iterable[Stopped], others: Iterable[Seen]) -> list[StackPointer]:
    """Where their stacks are; for `describe_held` there is time later."""
    architecture = this_machine()
    names = architecture.registers
    sp, ident = names.index(architecture.stack_pointer), names.index(architecture.thread_pointer)
    found = []
    for one in stopped:
        if len(one.registers) == 8 * len(names):
            words = struct.unpack(f"<{len(names)}Q", one.registers)
            found.append(StackPointer(one.tid, words[sp], words[ident] or None))
    return found + [StackPointer(other.tid, other.call.sp, None) for other in others if other.call]


def read_names(pid: int, tids: Iterable[int], proc: Path = PROC) -> dict[int, str | None]:
    """The names of these threads; None for one that has ended."""
    return {tid: _read_name(pid, tid, proc) for tid in tids}


def add_vector_registers(threads: Sequence[KernelThread], vectors: Mapping[int, bytes]) -> list[KernelThread]:
    """The threads with their floating-point and vector registers, by tid."""
    return [replace(one, fp_registers=vectors.get(one.tid, b"")) for one in threads]


def read_steps(pid: int, tids: Iterable[int], proc: Path = PROC) -> dict[int, Step]:
    """For each thread that waits in the kernel, how often it has left a processor, and where it waits.

    The same twice: it has not run in between, because it would have had to leave a processor again.
    """
    found = {}
    for tid in tids:
        try:
            switches, call = procfs.read_task_switches(pid, tid, proc), procfs.read_task_call(pid, tid, proc)
        except (OSError, procfs.ProcessGoneError):
            continue
        if call is not None:
            found[tid] = (switches, call)
    return found


def find_still(before: Mapping[int, Step], after: Mapping[int, Step]) -> set[int]:
    """The threads that did not run between two `read_steps`."""
    return {tid for tid, step in before.items() if after.get(tid) == step}


def find_broken(threads: Iterable[KernelThread]) -> list[KernelThread]:
    """Threads whose system call ended with EINTR: they had begun it between a look at them and their interruption."""
    result = this_machine().syscall_result
    return [one for one in threads if one.registers.get(result) == (1 << 64) - errno.EINTR]


def _look(pid: int, tid: int, proc: Path) -> Seen | None:
    try:
        name, state = procfs.read_task_stat(pid, tid, proc)
    except OSError:  # it has ended
        return None
    if state in procfs.ENDED and tid != pid:  # a main thread that ended before others: see find_way_in
        return None
    try:
        call = procfs.read_task_call(pid, tid, proc)
    except OSError:  # a kernel that does not tell, or it has ended just now
        call = None
    return Seen(tid, name, state, call, {})


def _from_registers(architecture: Architecture, one: Stopped, name: str | None) -> Seen:
    registers = decode_registers(architecture, one.registers)
    if not registers:
        return Seen(one.tid, name, None, None, {})
    number = architecture.pending_call(registers)
    state = "T" if one.stopped_by else "R" if number is None else "S"
    arguments = tuple(registers[argument] for argument in architecture.syscall_arguments)
    sp, pc = registers[architecture.stack_pointer], registers[architecture.program_counter]
    return Seen(one.tid, name, state, TaskCall(number, arguments, sp, pc), registers)


def _read_name(pid: int, tid: int, proc: Path) -> str | None:
    try:
        return procfs.read_task_stat(pid, tid, proc)[0]
    except (OSError, procfs.ProcessGoneError):
        return None


def _name_calls(
    seen: Sequence[Seen], still: frozenset[int], architecture: Architecture, memory: Memory
) -> list[KernelThread]:
    restarted = _restarted(seen, architecture)
    codes = dict(
        zip(restarted, memory.read_many([(call.pc - CODE_SIZE, CODE_SIZE) for call in restarted]), strict=True)
    )
    return [
        KernelThread(
            tid=one.tid,
            name=one.name,
            state=one.state,
            syscall=_name_call(one.call, codes.get(one.call), architecture) if one.call else None,
            registers=one.registers,
            sp=one.call.sp if one.call else None,
            pc=one.call.pc if one.call else None,
            ident=architecture.ident(one.registers),
            stood_still=one.tid in still,
        )
        for one in seen
    ]


def _restarted(seen: Sequence[Seen], architecture: Architecture) -> list[TaskCall]:
    """The calls whose real number is hidden by that of `restart_syscall`."""
    numbers = architecture.numbers_of_calls(frozenset({RESTART_CALL}))
    return list({one.call: None for one in seen if one.call and one.call.number in numbers})


def _name_call(call: TaskCall, code: bytes | None, architecture: Architecture) -> Syscall | None:
    """`code` is what stands before the program counter of a restarted call, which may tell which one it was."""
    if call.number is None:
        return None
    number = _find_restarted(call, code, architecture) if code else None
    if number is None:
        number = call.number
    return Syscall(number, architecture.name_of_call(number), call.arguments)


def _find_restarted(call: TaskCall, code: bytes, architecture: Architecture) -> int | None:
    """glibc from 2.41 on makes all calls in one place, whose code has no number: there the arguments must tell."""
    number = architecture.restarted_call(code)
    if number in architecture.syscalls:
        return number
    name = name_by_arguments(call.arguments)
    return next(iter(architecture.numbers_of_calls(frozenset({name}))), None) if name else None


def name_by_arguments(arguments: Sequence[int]) -> str | None:
    """Which of the calls that the kernel restarts by `restart_syscall` has such arguments; None where two could.

    futex(word, FUTEX_WAIT_BITSET, value, time, -, FUTEX_BITSET_MATCH_ANY), musl's futex(word, FUTEX_WAIT, value, time,
    0, 0), clock_nanosleep(clock, 0, time, left), poll(descriptors, how many, milliseconds), nanosleep(time, left)
    """
    first, second, third, fourth, fifth, sixth = arguments[:6]
    if second & ~FUTEX_FLAGS == FUTEX_WAIT_BITSET and sixth == FUTEX_MATCH_ANY:
        return "futex"
    if second & ~FUTEX_FLAGS == FUTEX_WAIT and first >= CLOCKS and fourth > 0xFFFF_FFFF and not fifth | sixth:
        return "futex"
    if first < CLOCKS and second == 0 and third > 0xFFFF_FFFF:
        return "clock_nanosleep"
    return "poll" if first >= CLOCKS and 0 < second < DESCRIPTORS_LIMIT else None
