"""What becomes of signals: which are ignored, pending or blocked by the kernel, and which Python has noted.

The kernel's masks are in /proc/PID/status and /proc/PID/task/TID/status. Python's handler in C only notes a signal, in
`Handlers[number].tripped` (Modules/signalmodule.c); the main thread calls the function in Python when it comes to it.
To CPython 3.11 that table has a symbol of its own; then it is in `_PyRuntimeState.signals` (pycore_signal.h).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lastwords.capture import procfs
from lastwords.cpython import Interpreter
from lastwords.cpython.modules import find_global
from lastwords.model import Process, Thread
from lastwords.signals import signal_name

SIGNALS = 64
HANDLER = struct.Struct("i4xQ")  # tripped, func
WAITING = ("pause", "rt_sigsuspend", "rt_sigtimedwait")
THREADS_LIMIT = 1000
OWN = ("SIG_DFL", "SIG_IGN", "default_int_handler")  # the interpreter's own, of module _signal


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
    table = _read_table(interp)
    return None if table is None else [signal_name(at) for at, (tripped, _) in enumerate(table) if tripped]


def read_handled(interp: Interpreter) -> list[str] | None:
    """The signals for which the program has a function of its own; None where it does not tell. Raises ReadError.

    Neither those for which Python itself has one (SIGINT: `default_int_handler`), nor those of C code.
    """
    known = {find_global(interp, "_signal", name) or find_global(interp, "signal", name) for name in OWN}
    table = _read_table(interp)
    if table is None or None in known:
        return None
    nobody = known | {0, interp.image.address("_Py_NoneStruct")}
    return [signal_name(at) for at, (_, function) in enumerate(table) if function not in nobody]


def _read_table(interp: Interpreter) -> list[tuple[int, int]] | None:
    """Of each signal, by its number: is it noted, and the address of its function in Python."""
    start = _find_table(interp)
    if start is None:
        return None
    table = list(HANDLER.iter_unpack(interp.memory.read(start, (SIGNALS + 1) * HANDLER.size)))
    functions = [function for _, function in table]
    return table if functions[0] == 0 and all(functions[1:]) else None  # there is no signal 0; nobody's is SIG_DFL


def _find_table(interp: Interpreter) -> int | None:
    runtime = interp.image.address("_PyRuntime")
    if runtime is not None and interp.has("_PyRuntimeState", "signals.handlers"):
        return interp.at(runtime, "_PyRuntimeState", "signals.handlers")
    return interp.image.address("Handlers")
