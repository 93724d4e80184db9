"""What keeps a whole process from running: a signal, a tracer, its control group."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lastwords.capture import procfs
from lastwords.capture.kernel.freezer import find_freezer
from lastwords.model import Halt, Process, Thread

STOPPED, TRACED = "stopped", "stopped by a tracer"


def add_halt(process: Process, threads: Sequence[Thread], proc: Path = procfs.PROC) -> None:
    """By the states that its threads had before we came, and by what its control groups say now."""
    freezer = find_freezer(process.pid, proc)
    states = {one.state for one in threads if one.state}
    if freezer is not None:
        process.halt = Halt(how="frozen", file=str(freezer))
    elif states == {STOPPED}:
        process.halt = Halt(how="stopped")
    elif states and states <= {STOPPED, TRACED}:
        with suppress(OSError, procfs.ProcessGoneError):
            process.halt = Halt(how="traced", pid=procfs.read_status(process.pid, proc).tracer_pid or None)
