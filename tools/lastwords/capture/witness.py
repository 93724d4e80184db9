"""A process beside us in our process group that takes no signal: what reaches it as well was sent to the whole group.

A siginfo tells who sent a signal, not to whom. `kill PID` must be passed on to the program; what a terminal, a
shell's `kill %1` or `timeout` send to the group has reached the program already. The witness also wakes us when we
have stopped with the program and only the program is continued. It ends when we do: its pipe closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import struct
import threading
from pathlib import Path

NAME = b"signal-witness"
LOOK_SECONDS = 0.02
# The kernel signals the members of a group one after the other; we may run before the witness has got its own.
GRACE_SECONDS = 0.005
ANSWER_SECONDS = 1.0
_WATCH, _ENOUGH = 0x80, 0x81
_STOPS = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_PID = struct.Struct("=i")
_ARG_START = 45  # arg_start and arg_end, proc(5): fields 48 and 49, counted from the state


class Witness:
    """The process, our end. Make it before any thread and before the program."""

    def __init__(self) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self._lock = threading.Lock()
        self.ended = False
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _be_the_witness(orders, answers)
            finally:
                os._exit(0)
        os.close(orders)
        os.close(answers)

    def saw(self, number: int) -> bool:
        """Whether this signal, which we have taken, has reached the witness too."""
        with self._lock:
            if not self._order(bytes([number])):
                return False
            ready, _, _ = select.select([self._answers], [], [], ANSWER_SECONDS)
            return bool(ready) and os.read(self._answers, 1) == b"\x01"

    def wake_us_when_it_runs(self, program: int) -> None:
        """From now on SIGCONT is sent to us whenever `program` is not stopped."""
        with self._lock:
            self._order(bytes([_WATCH]) + _PID.pack(program))

    def let_us_be(self) -> None:
        """We run."""
        with self._lock:
            self._order(bytes([_ENOUGH]))

    def _order(self, order: bytes) -> bool:
        """False if the witness is gone."""
        try:
            return not self.ended and bool(os.write(self._orders, order))
        except OSError:
            return False

    def end(self) -> None:
        """End it and reap it; once is enough."""
        with self._lock:
            if self.ended:
                return
            self.ended = True
            os.close(self._orders)
            os.close(self._answers)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)  # it may have been stopped
            os.waitpid(self.pid, 0)


def _be_the_witness(orders: int, answers: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    for fd in {int(name) for name in os.listdir("/proc/self/fd")} - {orders, answers}:  # noqa: PTH208
        with contextlib.suppress(OSError):
            os.close(fd)  # a reader of the program's output must not wait for us
    _rename()
    program = 0
    while True:
        ready, _, _ = select.select([orders], [], [], LOOK_SECONDS if program else None)
        if ready:
            order = os.read(orders, 1)
            if not order:
                return
            if order[0] == _WATCH:
                (program,) = _PID.unpack(os.read(orders, _PID.size))
            elif order[0] == _ENOUGH:
                program = 0
            else:
                os.write(answers, b"\x01" if _has_come(order[0]) else b"\x00")
        if program and not _is_stopped(program):
            os.kill(os.getppid(), signal.SIGCONT)


def _has_come(number: int) -> bool:
    """Whether the signal has come to us; it is forgotten. What one to the group has undone since counts as well."""
    if _undone_by(number) & signal.sigpending():
        return True
    return signal.sigtimedwait({number}, GRACE_SECONDS) is not None


def _undone_by(number: int) -> set[int]:
    """The kernel drops a pending SIGCONT when a signal comes that stops, and the other way round."""
    if number == signal.SIGCONT:
        return set(_STOPS)
    return {signal.SIGCONT} if number in _STOPS else set()


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except OSError:
        return False


def _rename() -> None:
    """Not to be found by what looks for us by name: its signal would look like one to the group."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_bytes(NAME)
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_START + 1])
        if start < end:
            ctypes.memmove(start, NAME.ljust(end - start, b"\0")[: end - start], end - start)
