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
_LEFT = b'{"event": "left"}'  # departure.py's last word: it holds nothing any more
_TAIL = 4096
_STOP = b"x"
_ORDER_SECONDS = 8.0  # departure.py's GIVE_UP_SECONDS and some
_TERM_SECONDS = 2.0
_LOOK_SECONDS = 0.05

Ended = Literal["left", "terminated", "killed"]


class Terminal:
    """Our side of gdb's terminal; `said` is the end of what gdb wrote to it meanwhile."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.said = b""

    def write(self, order: bytes) -> None:
        """If gdb has read what was written before: else it would block."""
        try:
            if select.select([], [self.fd], [], 0)[1]:
                os.write(self.fd, order)
        except OSError:
            return  # gdb is gone already

    def read_until(self, has_ended: Callable[[], bool], seconds: float) -> bool:
        """Read what gdb says, which would block it else, until it has ended. Whether it has."""
        deadline = time.monotonic() + seconds
        while not has_ended():
            if time.monotonic() > deadline:
                return False
            if select.select([self.fd], [], [], _LOOK_SECONDS)[0] and not self._read():
                time.sleep(_LOOK_SECONDS)  # the other side is closed, gdb is about to be gone
        while select.select([self.fd], [], [], 0)[0] and self._read():
            pass
        return True

    def _read(self) -> bytes:
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO
            return b""
        self.said = (self.said + data)[-_TAIL:]
        return data


def end_gdb(
    gdb: int, send: Callable[[int], None], has_ended: Callable[[], bool], terminal: Terminal, leave: bool
) -> Ended:
    """Make gdb let go and end; which of the three it took.

    `leave`: whether it has come so far that it understands orders; if not, it holds nothing and is killed. The kill
    is the last means also for a gdb that is stuck: what it holds stands still until then, and would for ever.
    Its breakpoints are taken out before.
    """
    send(signal.SIGCONT)  # were it stopped, it could not obey
    if leave:
        terminal.write(_LEAVE)
        if terminal.read_until(has_ended, _ORDER_SECONDS):
            return "left"
        send(signal.SIGTERM)
        if terminal.read_until(has_ended, _TERM_SECONDS):
            return "terminated"
        _take_breakpoints_out(gdb)
    send(signal.SIGKILL)
    terminal.read_until(has_ended, _TERM_SECONDS)
    return "killed"


def _take_breakpoints_out(gdb: int) -> None:
    from lastwords.capture.breakpoints import remove_breakpoints  # noqa: PLC0415 - reads ELF files: slow to load

    for pid in find_tracees(gdb):
        remove_breakpoints(pid)


def _mend(pids: list[int]) -> None:
    from lastwords.capture.breakpoints import mend  # noqa: PLC0415 - as above

    mend(pids)


def find_tracees(tracer: int) -> list[int]:
    """The processes that `tracer` traces."""
    pids = [int(entry.name) for entry in procfs.PROC.iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _tracer(pid) == tracer]


def _tracer(pid: int) -> int:
    try:
        return procfs.read_status(pid).tracer_pid
    except (OSError, procfs.ProcessGoneError):
        return 0


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

    def watch(self, pid: int) -> None:
        """gdb holds this process now: the keeper looks after it even where gdb is killed together with lastwords."""
        self._tell(f"{pid}\n".encode())

    def stop(self) -> None:
        """gdb has ended: so may the keeper. Reaps it."""
        if self._pid is not None:
            self._tell(_STOP)
            os.close(self._ours)
            os.waitpid(self._pid, 0)
            self._pid = None

    def _tell(self, words: bytes) -> None:
        if self._pid is not None:
            with contextlib.suppress(BrokenPipeError):  # somebody has killed it
                os.write(self._ours, words)


def _keep(alive: int, gdb: int, pidfd: int, terminal: int) -> None:
    """The keeper's life: `alive` ends when lastwords does; before, it says what is watched, and whether all is well."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    os.setsid()
    os.chdir("/")
    ctypes.CDLL(None).prctl(PR_SET_NAME, _NAME, 0, 0, 0)
    _close_others({alive, pidfd, terminal})
    watched = _listen(alive)
    if watched is None:
        return
    held, ours = find_tracees(gdb), Terminal(terminal)
    end_gdb(gdb, lambda number: _send(pidfd, number), lambda: _is_readable(pidfd), ours, True)
    if _LEFT not in ours.said:
        _mend([*held, *(pid for pid, own in watched.items() if not _is_readable(own))])


def _listen(alive: int) -> dict[int, int] | None:
    """The processes that gdb held when lastwords ended, each with a pidfd; None where all is well."""
    watched: dict[int, int] = {}
    while words := os.read(alive, _TAIL):
        if words.endswith(_STOP):
            return None
        for word in words.split():
            with contextlib.suppress(OSError):  # it has ended
                watched[int(word)] = os.pidfd_open(int(word))
    return watched


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
