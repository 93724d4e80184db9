"""System calls that sleep, and when they wake up."""

from __future__ import annotations

import time

from lastwords.capture.kernel.kernel_wait import Call, KernelWait
from lastwords.capture.kernel.syscall_arguments import read_timespec

TIMER_ABSTIME = 1
REALTIME_CLOCKS = (0, 5, 8)  # CLOCK_REALTIME, _COARSE, _ALARM
SINCE_BOOT_CLOCKS = {1: time.CLOCK_MONOTONIC, 7: time.CLOCK_BOOTTIME, 9: time.CLOCK_BOOTTIME}
FAR = 10 * 366 * 86400.0  # seconds: nobody means a day that far off


def describe_nanosleep(call: Call) -> KernelWait:
    """nanosleep(timespec)."""
    return _tell_sleep(call, read_timespec(call.memory, call.arguments[0]))


def describe_clock_nanosleep(call: Call) -> KernelWait:
    """clock_nanosleep(clock, flags, timespec): `time.sleep` from 3.11 on, until a time of the monotonic clock."""
    clock, seconds = call.number(0), read_timespec(call.memory, call.arguments[2])
    if not call.number(1) & TIMER_ABSTIME:
        return _tell_sleep(call, seconds)
    until = _since_epoch(call, clock, seconds)
    if until is None:
        detail = f"sleeps until its clock {clock} shows {seconds:.2f} s"
        return KernelWait("sleep", call.name, detail, has_timeout=True)
    return KernelWait("sleep", call.name, f"sleeps until {format_time(until)}", until=until, has_timeout=True)


def _tell_sleep(call: Call, seconds: float) -> KernelWait:
    detail = f"sleeps for {seconds:g} s; since when is not known"
    return KernelWait("sleep", call.name, detail, has_timeout=True)


def _since_epoch(call: Call, clock: int, seconds: float) -> float | None:
    """The time of a clock as seconds of the epoch, to 10 ms; None for clocks of another boot and for CPU clocks."""
    if clock in REALTIME_CLOCKS:
        return round(seconds, 2)
    if call.facts is None or clock not in SINCE_BOOT_CLOCKS:
        return None
    start = call.facts.clock_start(SINCE_BOOT_CLOCKS[clock])
    return None if start is None else round(start + seconds, 2)


def format_time(until: float) -> str:
    """The time of the day, with its date where that is another one; in years where it is far away."""
    now = time.time()
    if until - now > FAR:
        return f"{(until - now) / (365.25 * 86400):.0f} years from now"
    shown, today = time.localtime(until), time.localtime(now)
    return time.strftime("%H:%M:%S" if shown[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", shown)
