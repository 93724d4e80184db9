"""What futex(2) tells of a thread that sleeps in it: on which word, and until when (include/uapi/linux/futex.h)."""

from __future__ import annotations

import errno
import struct
import time

import msgspec

from lastwords.capture.architectures import this_machine
from lastwords.capture.captured import Captured, KernelThread
from lastwords.capture.memory import ReadError

COMMAND = 0x7F  # the rest of the operation are flags
REALTIME = 256  # FUTEX_CLOCK_REALTIME
WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2 = 0, 6, 9, 11, 13
COMPARED = (WAIT, WAIT_BITSET)  # of these the kernel lets nobody sleep but on the value that was given
WAITS = (WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2)
TIMESPEC = struct.Struct("<qq")  # seconds, nanoseconds


class Futex(msgspec.Struct, frozen=True):
    """A wait on the 32-bit word at `word`, until `until` (seconds of the epoch; None: for ever, or not known).

    seconds: how long it lasts at most, counted from a moment that the kernel does not tell (musl's waits)
    is_restarted: the call was interrupted and goes on as restart_syscall(2), which may be some other call as well.
    is_woken: whether the word has another value than the thread sleeps on: it is about to go on
    """

    word: int
    until: float | None = None
    is_restarted: bool = False
    seconds: float | None = None
    is_woken: bool = False


def find_word(thread: KernelThread) -> int | None:
    """The word on which the thread sleeps, or did until the time was over just now; None where it is in no futex call.

    Who waits in short turns, as for the GIL, is between two of them then, for long on a busy machine.
    """
    if thread.syscall is not None:
        return thread.syscall.arguments[0] if thread.syscall.name == "futex" else None
    architecture = this_machine()
    number, result, word = (
        thread.registers.get(name)
        for name in (
            architecture.syscall_number, architecture.syscall_result, architecture.syscall_arguments[0]
        )
    )  # fmt: skip
    is_over = result == (1 << 64) - errno.ETIMEDOUT and number in architecture.numbers_of_calls(frozenset({"futex"}))
    return word if is_over else None


def read_futex(thread: KernelThread, captured: Captured) -> Futex | None:
    """The futex that the thread waits on; None where it is in some other system call, or in none."""
    call = thread.syscall
    if call is None or call.name not in ("futex", "restart_syscall") or len(call.arguments) < 4:
        return None
    word, operation, value, timeout = call.arguments[:4]
    if operation & COMMAND not in WAITS or not word or word % 4:
        return None
    is_restarted = call.name != "futex"
    is_woken = operation & COMMAND in COMPARED and _has_changed(captured, word, value)
    if operation & COMMAND == WAIT:
        return Futex(word, None, is_restarted, _read_seconds(captured, timeout), is_woken)
    until = _read_deadline(captured, timeout, bool(operation & REALTIME))
    return Futex(word, until, is_restarted, is_woken=is_woken)


def _has_changed(captured: Captured, word: int, value: int) -> bool:
    try:
        return int.from_bytes(captured.memory.read(word, 4), "little") != value & 0xFFFF_FFFF
    except ReadError:
        return False


def _read_deadline(captured: Captured, address: int, is_realtime: bool) -> float | None:
    moment = _read_seconds(captured, address)
    if moment is None or is_realtime:
        return moment
    start = time.time() - time.monotonic() if captured.is_live else captured.monotonic_start
    return None if start is None else moment + start


def _read_seconds(captured: Captured, address: int) -> float | None:
    """A timespec; None where there is none."""
    if not address:
        return None
    try:
        seconds, nanoseconds = TIMESPEC.unpack(captured.memory.read(address, TIMESPEC.size))
    except ReadError:
        return None
    return float(seconds + nanoseconds / 1e9)
