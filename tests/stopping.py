"""Captures that the tests of the stop make: cheap ones, and in a process of its own that can be killed.

As a script it captures process PID again and again, and says "held" while it holds it, for so many seconds each time:
`stopping.py PID SECONDS`.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lastwords.capture import procfs
from lastwords.capture.architectures import Architecture
from lastwords.capture.captured import Captured, KernelThread, StackPointer
from lastwords.capture.memory import PAGE, Memory
from lastwords.capture.stop.holding import Holder
from lastwords.capture.stop.live import Look, Recheck, capture_process, read_kernel_threads

if TYPE_CHECKING:
    import pytest

Threads = Sequence[KernelThread] | Sequence[StackPointer]


def look_nowhere(memory: Memory, threads: Threads) -> None:
    """Reads nothing."""


def look_at_stacks(memory: Memory, threads: Threads) -> None:
    """Reads a little of the stack of each thread whose stack pointer is known."""
    memory.read_many([(one.sp, PAGE) for one in threads if one.sp])


def capture(
    pid: int, dry_run: Look = look_at_stacks, recheck: Recheck = look_nowhere, *, pause: bool = True
) -> Captured:
    """A capture that is over soon."""
    return capture_process(pid, dry_run, recheck, pause=pause)


def states(pid: int) -> set[str]:
    """The letters of the states of all threads: "t" stands still for a tracer, "T" by a signal."""
    found = set()
    for tid in procfs.read_tasks(pid):
        try:
            found.add(procfs.read_task_stat(pid, tid)[1])
        except OSError:  # it has ended
            continue
    return found


def calls(pid: int) -> set[str | None]:
    """The names of the system calls in which threads wait; None for one that is in none."""
    return {one.syscall.name if one.syscall else None for one in read_kernel_threads(pid)}


def tracer(pid: int) -> int:
    """The process that traces the main thread; 0 for none."""
    return procfs.read_status(pid).tracer_pid


def kill_stoppers(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[threading.Timer]:
    """From now on each stopper is killed at an instant of its own, up to `seconds` after it was told to hold."""
    chance = random.Random(3)
    timers: list[threading.Timer] = []
    hold, kill = Holder.hold, os.kill

    def begin(self: Holder, pid: int, architecture: Architecture, limit: float) -> list[int]:
        self.wait_until_ready()
        timers.append(threading.Timer(chance.uniform(0, seconds), kill_it, [self.pid]))
        timers[-1].start()
        return hold(self, pid, architecture, limit)

    def kill_it(pid: int) -> None:
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)

    monkeypatch.setattr(Holder, "hold", begin)
    return timers


def main() -> None:
    """See above."""
    pid, seconds = int(sys.argv[1]), float(sys.argv[2])

    def linger(memory: Memory, threads: Threads) -> None:
        os.write(1, b"held\n")
        time.sleep(seconds)

    while True:
        capture(pid, recheck=linger)


COMMAND = (sys.executable, str(Path(__file__).resolve()))

if __name__ == "__main__":
    main()
