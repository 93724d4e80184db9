"""Signals sent to lastwords' own pid belong to the program; a terminal's it gets by itself.

All signals that can be are blocked in lastwords and taken by one thread with `sigwaitinfo`, because only a
siginfo tells who sent one: `si_code` SI_KERNEL is the terminal (Ctrl-C, Ctrl-\\, Ctrl-Z, a lost line), which
signals the whole foreground group and so the program too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

SI_KERNEL = 0x80  # asm-generic/siginfo.h
SI_TKILL = -6

# Those that mean something to us, or that say what *we* did wrong.
_OURS = {
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGCHLD,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
    signal.SIGPIPE,
}
_JOB_CONTROL = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}


class SignalForwarder:
    """Block the signals (before the fork); after `start`, pass each on that somebody sent to us."""

    def __init__(self) -> None:
        self.mask: set[int] = set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        self._signals = {number for number in signal.valid_signals() if number not in _OURS}
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        self._ended = threading.Event()

    def start(self, pid: int, on_terminal_stop: Callable[[], None]) -> None:
        """Forward to `pid` from now on, what is pending already first."""
        thread = threading.Thread(target=self._forward, args=(pid, on_terminal_stop), daemon=True)
        thread.start()

    def stop(self) -> None:
        """The program has ended: forward nothing more, the pid may be another's soon."""
        self._ended.set()

    def _forward(self, pid: int, on_terminal_stop: Callable[[], None]) -> None:
        while True:
            info = signal.sigwaitinfo(self._signals)
            if self._ended.is_set():
                return
            if info.si_code == SI_KERNEL:
                if info.si_signo in _JOB_CONTROL:
                    on_terminal_stop()
                continue
            os.kill(pid, info.si_signo)
