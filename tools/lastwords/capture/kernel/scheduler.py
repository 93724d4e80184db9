"""How long threads have not run, by the scheduler's own account (/proc/PID/task/TID/sched, CONFIG_SCHED_DEBUG).

`se.exec_start` is when a thread ran last, in milliseconds of the clock of the processor on which it did; clocks of
virtual processors were seen 12 seconds apart. No other file tells them, but our own thread can run there now.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lastwords.capture.procfs import PROC, read_file

LAST_RAN = re.compile(rb"^se\.exec_start\s*:\s*(\d+\.\d+)", re.MULTILINE)
SWITCHES = re.compile(rb"^nr_voluntary_switches\s*:\s*(\d+)", re.MULTILINE)
PROCESSOR = 36  # field 39 of /proc/PID/task/TID/stat, counted from the state, which is the third
# Switches of a sleeper that was stopped and let go: into the stop, and back into its sleep. On a busy machine it may
# have to make way for others on either way; that is no switch of its own will.
OURS = 2


class Slept(msgspec.Struct, frozen=True):
    """How often a thread has ceased to run by itself, and for how many seconds it has not run; None: not to be told."""

    switches: int
    seconds: float | None = None


def read_slept(pid: int, tids: Iterable[int], proc: Path = PROC) -> dict[int, Slept]:
    """By thread. Those that are gone, and all where the kernel keeps no such account, are missing."""
    accounts = {tid: one for tid in tids if (one := _read(f"{proc}/{pid}/task/{tid}"))}
    clocks = _on_each({processor for _, _, processor in accounts.values()}, lambda: _read(_ourselves(proc)))
    return {tid: Slept(switches, _since(ran, clocks.get(on))) for tid, (ran, switches, on) in accounts.items()}


def find_undisturbed(before: Mapping[int, Slept], after: Mapping[int, Slept]) -> dict[int, float]:
    """Seconds by thread, as they were before a capture; 0 where something else than the capture has woken it since."""
    known = ((tid, before[tid].seconds) for tid in before.keys() & after.keys())
    return {
        tid: seconds if after[tid].switches - before[tid].switches <= OURS else 0.0
        for tid, seconds in known
        if seconds is not None
    }


def carry_over(before: Mapping[int, Slept], now: Mapping[int, Slept]) -> dict[int, Slept]:
    """As it is `now`, after a capture: what nothing but that has woken has slept since before it."""
    rested = find_undisturbed(before, now)
    return {
        tid: replace(one, seconds=max(rested[tid], one.seconds or 0.0)) if tid in rested else one
        for tid, one in now.items()
    }


def _ourselves(proc: Path) -> str:
    return f"{proc}/self/task/{threading.get_native_id()}"


def _since(ran: float, now: float | None) -> float | None:
    return None if now is None else max(now - ran, 0.0) / 1000


def _on_each(processors: Iterable[int], read: Callable[[], tuple[float, int, int] | None]) -> dict[int, float]:
    """What the clock of each processor says while this thread runs there; without those where it may not run."""
    allowed = os.sched_getaffinity(0)
    clocks: dict[int, float] = {}
    try:
        for processor in allowed.intersection(processors):
            os.sched_setaffinity(0, {processor})
            account = read()
            if account is not None and account[2] == processor:
                clocks[processor] = account[0]
    except OSError:  # another container's processors
        pass
    finally:
        os.sched_setaffinity(0, allowed)
    return clocks


def _read(task: str) -> tuple[float, int, int] | None:
    """When it ran last, its switches of its own will, and the processor on which it ran."""
    try:
        account = read_file(f"{task}/sched")
        fields = read_file(f"{task}/stat").rpartition(b")")[2].split()
    except OSError:
        return None
    ran, switches = LAST_RAN.search(account), SWITCHES.search(account)
    return (float(ran[1]), int(switches[1]), int(fields[PROCESSOR])) if ran and switches else None
