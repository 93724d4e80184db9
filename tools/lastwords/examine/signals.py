"""What becomes of signals: which are ignored, pending or blocked by the kernel, and which Python has noted.

The kernel's masks are in /proc/PID/status and /proc/PID/task/TID/status. Python's handler in C only notes a signal, in
`Handlers[number].tripped` (Modules/signalmodule.c); the main thread calls the function in Python when it comes to it.
That table is found by its symbol, to CPython 3.11; later it is near the start of `_PyRuntime`, told by its contents.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lastwords.capture import procfs
from lastwords.cpython import Interpreter
from lastwords.cpython.modules import find_global
from lastwords.model import Process, Thread
from lastwords.signals import signal_name

SIGNALS = 64
HANDLER = 16  # bytes of an entry: an int and a pointer
WAITING = ("pause", "rt_sigsuspend", "rt_sigtimedwait")
THREADS_LIMIT = 1000
RUNTIME_SIZE = 1 << 16  # bytes of _PyRuntime that are searched for the table
OWN = ("SIG_DFL", "SIG_IGN", "default_int_handler")  # the interpreter's own, of module _signal
DEFAULTS = 20  # signals at least for which nobody has set anything


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


def read_handled(interp: Interpreter) -> list[str] | None:
    """The signals for which the program has a function of its own; None where the table is not found. Raises ReadError.

    Neither those for which Python itself has one (SIGINT: `default_int_handler`), nor those of C code.
    """
    known = {name: find_global(interp, "_signal", name) or find_global(interp, "signal", name) for name in OWN}
    if not all(known.values()):
        return None
    nobody = set(known.values()) | {0, interp.image.address("_Py_NoneStruct")}
    functions = _find_functions(interp, known["SIG_DFL"] or 0)
    if functions is None:
        return None
    return [signal_name(at) for at, one in enumerate(functions) if at and one not in nobody]


def _find_functions(interp: Interpreter, default: int) -> list[int] | None:
    """The function of each signal, by its number."""
    named = interp.image.address("Handlers")
    start = named or interp.image.address("_PyRuntime")
    if start is None:
        return None
    size = (SIGNALS + 1) * HANDLER
    data = interp.memory.read(start, size if named else RUNTIME_SIZE)
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    for at in range(0, len(words) - size // 8 + 1):
        functions = words[at + 1 : at + size // 8 : 2]
        if functions.count(default) >= DEFAULTS and functions[0] == 0 and all(functions[1:]):  # there is no signal 0
            return functions
    return None
