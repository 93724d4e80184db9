"""The end of gdb, also when lastwords is not there to see to it.

gdb must let go of the programs it holds before it ends, or they die of its breakpoints. So a small process, the
keeper, holds gdb's terminal open when lastwords is killed (a hang-up makes gdb quit in the middle of things), reads
on what gdb writes, and asks it to let go. It is in a session of its own, and ends with gdb.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Literal

from lastwords.capture import procfs

PR_SET_NAME = 15  # linux/prctl.h
_NAME = b"lastwords-keep"
_LEAVE = b'lw {"do": "leave", "id": 0}\n'  # one write, whole; an empty line before it would repeat the last order
_ORDER_SECONDS = 8.0  # departure.py's GIVE_UP_SECONDS and some
_TERM_SECONDS = 2.0
_LOOK_SECONDS = 0.05

Ended = Literal["left", "terminated", "killed"]


def end_gdb(gdb: int, send: Callable[[int], None], has_ended: Callable[[], bool], terminal: int, leave: bool) -> Ended:
    """Make gdb let go and end; which of the three it took.

    `leave`: whether it has come so far that it understands orders; if not, it holds nothing and is killed. The kill
    is the last means also for a gdb that is stuck: what it holds stands still until then, and would for ever.
    Its breakpoints are taken out before.
    """
    send(signal.SIGCONT)  # were it stopped, it could not obey
    if leave:
        _write(terminal, _LEAVE)
        if _drain_until(has_ended, terminal, _ORDER_SECONDS):
            return "left"
        send(signal.SIGTERM)
        if _drain_until(has_ended, terminal, _TERM_SECONDS):
            return "terminated"
        _take_breakpoints_out(gdb)
    send(signal.SIGKILL)
    _drain_until(has_ended, terminal, _TERM_SECONDS)
    return "killed"


def _take_breakpoints_out(gdb: int) -> None:
    from lastwords.capture.breakpoints import remove_breakpoints  # noqa: PLC0415 - reads ELF files: slow to load

    for pid in find_tracees(gdb):
        remove_breakpoints(pid)


def find_tracees(tracer: int) -> list[int]:
    """The processes that `tracer` traces."""
    pids = [int(entry.name) for entry in procfs.PROC.iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _tracer(pid) == tracer]


def _tracer(pid: int) -> int:
    try:
        return procfs.read_status(pid).tracer_pid
    except (OSError, procfs.ProcessGoneError):
        return 0


def _write(terminal: int, order: bytes) -> None:
    try:
        if select.select([], [terminal], [], 0)[1]:  # it would block where gdb has read nothing for long
            os.write(terminal, order)
    except OSError:
        return  # gdb is gone already


def _drain_until(has_ended: Callable[[], bool], terminal: int, seconds: float) -> bool:
    """Read what gdb says, which would block it else, until it has ended. Whether it has."""
    deadline = time.monotonic() + seconds
    while not has_ended():
        if time.monotonic() > deadline:
            return False
        if select.select([terminal], [], [], _LOOK_SECONDS)[0]:
            _read(terminal)
    return True


def _read(terminal: int) -> None:
    try:
        os.read(terminal, 65536)
    except OSError:  # EIO: the other side is closed, gdb is about to be gone
        time.sleep(_LOOK_SECONDS)


class Keeper:
    """The process that outlives lastwords for as long as gdb does. `stop()` when gdb has ended."""

    def __init__(self, gdb: int, terminal: int) -> None:
        self._pid: int | None = None
        try:
            pidfd = os.pidfd_open(gdb)  # so that no other process can be meant, however late it is
        except OSError:  # before Linux 5.3: a killed lastwords hangs up on gdb, as ever
            return
        alive, ours = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(ours)
                _keep(alive, gdb, pidfd, terminal)
            finally:
                os._exit(0)
        os.close(alive)
        os.close(pidfd)
        self._pid, self._ours = pid, ours

    def stop(self) -> None:
        """gdb has ended: so may the keeper. Reaps it."""
        if self._pid is not None:
            with contextlib.suppress(BrokenPipeError):  # somebody has killed it
                os.write(self._ours, b"x")
            os.close(self._ours)
            os.waitpid(self._pid, 0)
            self._pid = None


def _keep(alive: int, gdb: int, pidfd: int, terminal: int) -> None:
    """The keeper's life: `alive` ends when lastwords does, and says a word first if all is well."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    os.setsid()
    os.chdir("/")
    ctypes.CDLL(None).prctl(PR_SET_NAME, _NAME, 0, 0, 0)
    _close_others({alive, pidfd, terminal})
    if os.read(alive, 1):
        return
    end_gdb(gdb, lambda number: _send(pidfd, number), lambda: _is_readable(pidfd), terminal, True)


def _is_readable(pidfd: int) -> bool:
    """A pidfd is when its process has ended."""
    return bool(select.select([pidfd], [], [], 0)[0])


def _send(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


def _close_others(kept: set[int]) -> None:
    """The user's pipes must end when the program ends, not when the keeper does."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) not in kept:
            _close(int(name))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in {0, 1, 2} - kept:
        os.dup2(nowhere, fd)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:  # the directory that was listed
        return
