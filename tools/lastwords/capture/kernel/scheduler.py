"""How long threads have not run, by the scheduler's own account (/proc/PID/task/TID/sched, CONFIG_SCHED_DEBUG).

`se.exec_start` is when a thread ran last, in milliseconds of the scheduler's clock. No other file tells that clock,
but our own thread runs now.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from lastwords.capture.procfs import PROC

LAST_RAN = re.compile(rb"^se\.exec_start\s*:\s*(\d+\.\d+)", re.MULTILINE)
SWITCHES = re.compile(rb"^nr_switches\s*:\s*(\d+)", re.MULTILINE)
OURS = 2  # switches of a sleeper that was stopped and let go: into the stop, and back into its sleep


class Slept(msgspec.Struct, frozen=True):
    """For how many seconds a thread has not run, and how often it had begun or ceased to by then."""

    seconds: float
    switches: int


def read_slept(pid: int, tids: Iterable[int], proc: Path = PROC) -> dict[int, Slept]:
    """By thread. Those that are gone, and all where the kernel keeps no such account, are missing."""
    ours = _read(proc / "self" / "task" / str(threading.get_native_id()) / "sched")
    if ours is None:
        return {}
    theirs = {tid: _read(proc / str(pid) / "task" / str(tid) / "sched") for tid in tids}
    now = ours[0]
    return {tid: Slept(max(now - one[0], 0.0) / 1000, one[1]) for tid, one in theirs.items() if one}


def find_undisturbed(before: Mapping[int, Slept], after: Mapping[int, Slept]) -> dict[int, float]:
    """Seconds by thread, as they were before a capture: of the threads that nothing but the capture has woken since."""
    same = (tid for tid in before.keys() & after.keys() if after[tid].switches - before[tid].switches <= OURS)
    return {tid: before[tid].seconds for tid in same}


def _read(path: Path) -> tuple[float, int] | None:
    try:
        text = path.read_bytes()
    except OSError:
        return None
    ran, switches = LAST_RAN.search(text), SWITCHES.search(text)
    return (float(ran[1]), int(switches[1])) if ran and switches else None
