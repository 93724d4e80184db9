"""What becomes of signals: which are ignored, pending or blocked by the kernel, and which Python has noted.

The kernel's masks are in /proc/PID/status and /proc/PID/task/TID/status. Python's handler in C only notes a signal, in
`Handlers[number].tripped` (Modules/signalmodule.c); the main thread calls the function in Python when it comes to it.
That table is found by its symbol, to CPython 3.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lastwords.capture import procfs
from lastwords.cpython import Interpreter
from lastwords.model import Process, Thread
from lastwords.signals import signal_name

SIGNALS = 64
HANDLER = 16  # bytes of an entry: an int and a pointer
WAITING = ("pause", "rt_sigsuspend", "rt_sigtimedwait")
THREADS_LIMIT = 1000


def add_signals(process: Process, threads: Sequence[Thread], proc: Path = procfs.PROC) -> None:
    """What the kernel says. Threads' masks are read where a signal is pending, or one of them waits for signals."""
    with suppress(OSError, procfs.ProcessGoneError, ValueError):
        fields = procfs.read_fields(process.pid, proc)
        process.signals_ignored = read_mask(fields, "SigIgn")
        process.signals_pending = read_mask(fields, "ShdPnd")
        waiting = any(one.waits_for is not None and one.waits_for.call in WAITING for one in threads)
        if process.signals_pending or waiting:
            for one in threads[:THREADS_LIMIT]:
                one.signals_blocked = _read_blocked(process.pid, one, proc)


def _read_blocked(pid: int, thread: Thread, proc: Path) -> list[str] | None:
    try:
        text = procfs.read_text(pid, f"task/{thread.tid}/status", proc)
    except (OSError, procfs.ProcessGoneError):
        return None
    lines = (line.partition(":") for line in text.splitlines())
    return read_mask({name: value.strip() for name, _, value in lines}, "SigBlk")


def read_mask(fields: dict[str, str], name: str) -> list[str] | None:
    """The signals in a mask of /proc/PID/status; None where there is no such line."""
    if name not in fields:
        return None
    mask = int(fields[name], 16)
    return [signal_name(number) for number in range(1, SIGNALS + 1) if mask >> (number - 1) & 1]


def read_noted(interp: Interpreter) -> list[str] | None:
    """The signals that Python has noted and not handled; None where it does not tell. Raises ReadError."""
    start = interp.image.address("Handlers")
    if start is None:
        return None
    data = interp.memory.read(start, (SIGNALS + 1) * HANDLER)
    tripped = [number for number in range(1, SIGNALS + 1) if any(data[number * HANDLER : number * HANDLER + 4])]
    return [signal_name(number) for number in tripped]
