"""What the kernel keeps of a process as a whole: whether it was forked, and what it does about signals."""

from __future__ import annotations

from pathlib import Path

from lastwords.capture.procfs import PROC, read_fields, read_text
from lastwords.signals import signal_name

FLAGS = 6  # field 9 of /proc/PID/stat, counted from the state, which is the third
FORKED = 0x40  # PF_FORKNOEXEC (include/linux/sched.h): forked, and has executed no other program since


def was_forked(pid: int, proc: Path = PROC) -> bool:
    """Whether it still runs the program of the process that made it. Raises OSError, ProcessGoneError."""
    fields = read_text(pid, "stat", proc).rpartition(")")[2].split()
    return bool(int(fields[FLAGS]) & FORKED)


def read_caught_signals(pid: int, proc: Path = PROC) -> list[str]:
    """The signals for which it has a handler. Raises OSError, ProcessGoneError."""
    mask = int(read_fields(pid, proc).get("SigCgt", "0"), 16)
    return [signal_name(number) for number in range(1, 65) if mask >> (number - 1) & 1]
