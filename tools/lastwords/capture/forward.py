"""Signals sent to lastwords' own pid belong to the program, once; and when the program stops, lastwords stops.

All signals that can be are blocked in lastwords and taken by one thread. One that was sent to the whole process
group (a terminal's Ctrl-C, a shell's `kill %1`) the program gets by itself: the witness tells. Another thread waits
for the program to be stopped, by whomever, so that a shell has its job back.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading

from lastwords.capture.procfs import ProcessGoneError, read_status
from lastwords.capture.witness import Witness

SI_KERNEL = 0x80  # asm-generic/siginfo.h
SI_QUEUE = -1

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
# A terminal that goes away tells the leader of its session alone, which may be us; all else it tells the group.
_HANGUP = {signal.SIGHUP, signal.SIGCONT}
_LOST_SECONDS = 1.0  # then whoever listens to gdb has noticed that it is dead
_libc = ctypes.CDLL(None, use_errno=True)


class SigInfo(ctypes.Structure):
    """`siginfo_t` of kill(2) and sigqueue(3) where a long has 64 bits."""

    _fields_ = (
        ("signo", ctypes.c_int),
        ("errno", ctypes.c_int),
        ("code", ctypes.c_int),
        ("padding", ctypes.c_int),
        ("pid", ctypes.c_int),
        ("uid", ctypes.c_int),
        ("value", ctypes.c_void_p),
        ("rest", ctypes.c_char * 96),
    )


class SignalForwarder:
    """Block the signals (before the fork); after `start`, pass each on that somebody sent to us."""

    def __init__(self) -> None:
        self.mask: set[int] = set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        self._signals: set[int] = {number for number in signal.valid_signals() if number not in _OURS}
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        self._witness = Witness()
        self._ended = threading.Event()
        self._was_traced = False
        self._lost = threading.Event()

    def start(self, pid: int, is_traced: bool = False) -> None:
        """Forward to `pid` from now on, what is pending already first. `is_traced`: by a gdb of ours."""
        self._was_traced = is_traced
        threading.Thread(target=self._forward, args=(pid,), daemon=True).start()
        threading.Thread(target=self._stop_with, args=(pid,), daemon=True).start()

    def tracer_is_lost(self) -> None:
        """gdb has died with the program in its hands."""
        self._lost.set()

    def stop(self) -> None:
        """The program has ended: forward nothing more, the pid may be another's soon."""
        self._ended.set()
        self._witness.end()

    def _forward(self, pid: int) -> None:
        while True:
            info = _take(self._signals)
            if self._ended.is_set():
                return
            if info is None or self._witness.saw(info.signo) or (info.code == SI_KERNEL and info.signo not in _HANGUP):
                continue
            if info.signo != signal.SIGCONT or info.pid != self._witness.pid:
                _send(pid, info)

    def _is_left_behind(self, pid: int) -> bool:
        """Whether a SIGSTOP is what a gdb had under way when it died: nobody traces now, and soon that is known."""
        if not self._was_traced or _is_traced(pid):
            return False
        self._was_traced = False
        return self._lost.wait(_LOST_SECONDS)

    def _stop_with(self, pid: int) -> None:
        """Until the program has ended: whenever it is stopped, so are we, by the same signal.

        But for a SIGSTOP that a gdb had under way when it died: nobody meant the program to stand still.
        """
        with contextlib.suppress(ChildProcessError):
            while True:
                news = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                if news is None or news.si_code != os.CLD_STOPPED:
                    return
                os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG)
                if news.si_status == signal.SIGSTOP and self._is_left_behind(pid):
                    os.kill(pid, signal.SIGCONT)
                    continue
                self._witness.wake_us_when_it_runs(pid)
                _stop_by(news.si_status)
                self._witness.let_us_be()


def _is_traced(pid: int) -> bool:
    try:
        return read_status(pid).tracer_pid != 0
    except (OSError, ProcessGoneError):
        return False


def _take(signals: set[int]) -> SigInfo | None:
    """Wait for one of `signals`: `signal.sigwaitinfo`, but with the value that sigqueue(3) sends."""
    wanted = (ctypes.c_ulong * 16)()
    for number in signals:
        wanted[0] |= 1 << (number - 1)
    info = SigInfo()
    return info if _libc.sigwaitinfo(wanted, ctypes.byref(info)) > 0 else None


def _send(pid: int, info: SigInfo) -> None:
    with contextlib.suppress(ProcessLookupError):
        if info.code == SI_QUEUE:
            _libc.sigqueue(pid, info.signo, ctypes.c_void_p(info.value))
        else:
            os.kill(pid, info.signo)


def _stop_by(number: int) -> None:
    """Stop this process, whatever its group: SIGTSTP stops no orphaned one, nor one that ignores it."""
    wanted = number if signal.getsignal(number) == signal.SIG_DFL else signal.SIGSTOP
    signal.pthread_kill(threading.get_ident(), wanted)  # first, or a terminal's that is pending would stop us as well
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {wanted})
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
