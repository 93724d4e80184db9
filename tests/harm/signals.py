"""Queued real-time signals, an interval timer and ends of children, while a tool looks: none lost, none doubled."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harm.built import build_library
from harm.peers import Tool
from harness import target_running

BURST = 50
PENDING_SECONDS = 30.0  # a process that takes no signal for so long hangs
TOOL_SECONDS = 120.0

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]  # `union sigval` is as large as a pointer


@dataclass
class Signals:
    """What came of the signals; see tests/targets/harm_signals.py for `told`."""

    tool: str
    runs: int = 0
    sent: int = 0
    told: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def is_harmless(self) -> bool:
        """None lost, none doubled."""
        return bool(self.told) and not any(
            number for name, number in self.told.items() if name.endswith(("_lost", "_doubled"))
        )


HEADINGS = (
    "tool", "runs", "queued", "lost", "doubled", "ticks of a timer", "lost", "doubled", "ends of children",
    "lost (doubled: below 0)",
)  # fmt: skip


def rows(measured: Sequence[Signals]) -> list[list[object]]:
    """A line of the table for each."""
    names = (
        "queued_lost", "queued_doubled", "ticks", "ticks_lost", "ticks_doubled", "children", "children_lost",
    )  # fmt: skip
    return [[one.tool, one.runs, one.sent, *(one.told.get(name, "-") for name in names)] for one in measured]


def send_while_looked_at(python: Path, tool: Tool, runs: int, count: int, scratch: Path) -> Signals:
    """So many signals, spread over so many runs of the tool."""
    library = build_library("harm_signals", scratch)
    with target_running(python, "harm_signals.py", str(library)) as target:
        number = int(target.wait_for("ready").split()[1])
        signals = Signals(tool.name)
        for run in range(runs):
            with tool.start(target.pid, scratch / "out") as process:
                _send_during(process, signals, target.pid, number, count * (run + 1) // runs)
            signals.runs += 1
        while signals.sent < count:
            signals.sent += _queue(target.pid, number, signals.sent)
        target.send_line(str(signals.sent))
        signals.told = json.loads(target.wait_for("told ").removeprefix("told "))
        return signals


def _send_during(process: subprocess.Popen[bytes], signals: Signals, pid: int, number: int, until: int) -> None:
    """Bursts until the tool has ended; no more than `until` in all."""
    deadline = time.monotonic() + TOOL_SECONDS
    while process.poll() is None:
        for _ in range(min(BURST, until - signals.sent)):
            signals.sent += _queue(pid, number, signals.sent)
        if time.monotonic() > deadline:
            process.kill()
            signals.failures.append(f"it did not end in {TOOL_SECONDS:g} s")
        time.sleep(0.002)  # between bursts: some come while it stands still


def _queue(pid: int, number: int, value: int) -> int:
    """Queues one; 1. Waits where the queue is full. Raises OSError, and TimeoutError where it stays full."""
    deadline = time.monotonic() + PENDING_SECONDS
    while _libc.sigqueue(pid, number, value):
        if ctypes.get_errno() != errno.EAGAIN:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if time.monotonic() > deadline:
            raise TimeoutError(f"the queue of signals of process {pid} stays full")
        time.sleep(0.001)
    return 1
