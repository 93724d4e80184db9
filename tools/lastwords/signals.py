"""Signals by name, and which of them are crashes: what capturing, reading and judging have in common."""

from __future__ import annotations

import signal

CRASHES = frozenset({"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGSYS", "SIGTRAP"})


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11; real-time signals as `SIG40`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
