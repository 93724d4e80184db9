"""Our side of the process that holds a target's threads still: it is started, told, and ended here; see stopper.py.

with Holder() as holder:            # starts it: do this early, it takes 20 ms
    others = holder.hold(pid, ...)  # threads stand still, but for these
    stopped = holder.stopped()
    gone = holder.let_go()          # they run; so they do when the block is left, in whatever way
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from lastwords.capture.architectures import RESTART_CALL, Architecture
from lastwords.capture.stop import stopper

# The system calls that the kernel carries on, unseen by the program, after PTRACE_INTERRUPT: signal(7), "Interruption
# of system calls". Of all others (epoll_wait, recv with a timeout, semop, sigtimedwait, io_getevents, half-done writes
# ...) a program could see EINTR, or less done than it asked for: a thread that waits in one of them is left alone.
RESTARTED = frozenset(
    {
        "poll", "ppoll", "select", "pselect6", "nanosleep", "clock_nanosleep", "futex", "futex_waitv", "wait4",
        "waitid", "pause", "rt_sigsuspend", RESTART_CALL,
    }
)  # fmt: skip
READS = frozenset({"read"})  # is carried on too, on what stopper.RESTARTING_FILES names

# A file that is run is compiled each time; this takes what was compiled when it was imported, if that is still good.
START = """\
import sys, _frozen_importlib_external as own
exec(own.SourceFileLoader(__name__, sys.argv[1]).get_code(__name__))
"""

READY_SECONDS = 15.0  # to start a Python on a machine under load
ANSWER_SECONDS = stopper.KILL_SECONDS + 1.0
PIPE_SIZE = 1 << 20  # the registers of 4,000 threads: the stopper must not wait for us


class NotHeldError(Exception):
    """The threads could not be held still, and run on; the message says why."""


class Stopped(msgspec.Struct, frozen=True):
    """A thread that stands still: its status as waitid(2) tells it, and its registers as NT_PRSTATUS has them."""

    tid: int
    status: int
    registers: bytes

    @property
    def stopped_by(self) -> int | None:
        """The signal that stopped it, if it was stopped before (SIGSTOP)."""
        number = self.status & 0xFF
        return None if not self.status >> 8 or number == signal.SIGTRAP else number


class Gone(msgspec.Struct, frozen=True):
    """Seconds that threads stood still, whether they did until now, and vector registers of those that did, by tid."""

    seconds: float
    in_time: bool
    vectors: dict[int, bytes]


class Holder:
    """The process that holds threads still. It is killed when the block is left: then the kernel lets them go.

    interrupt: also threads in system calls that the kernel restarts; else none that is in a call
    vectors: whether their floating-point and vector registers are wanted
    """

    def __init__(self, *, interrupt: bool = True, vectors: bool = False) -> None:
        self.interrupt = interrupt
        self.vectors = vectors
        command = [sys.executable, "-I", "-S", "-B", "-c", START, str(Path(stopper.__file__).resolve())]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
                cwd="/", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise NotHeldError(f"{sys.executable} cannot be started: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._is_ready = False
        self._start = 0.0
        self._seconds = 0.0
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, PIPE_SIZE)

    @property
    def pid(self) -> int:
        """Of the process that holds."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def hold(self, pid: int, architecture: Architecture, seconds: float) -> list[int]:
        """Holds the threads of `pid` that may be interrupted, for `seconds` at most. Raises NotHeldError.

        The others. Again while they are held: also those that have left the calls in which they were to be left alone.
        """
        self.wait_until_ready()
        self._start = self._start or time.monotonic()
        self._seconds = seconds
        calls = architecture.numbers_of_calls(RESTARTED | READS if self.interrupt else frozenset())
        vectors = architecture.vector_sets if self.vectors else ()
        self._send(("stop", pid, seconds, calls, architecture.numbers_of_calls(READS), vectors))
        others: list[int] = self._expect()[1]
        return others

    def stopped(self) -> list[Stopped]:
        """Those that are held, once after each `hold`. Raises NotHeldError."""
        return [Stopped(*one) for one in self._expect()[1]]

    def _expect(self) -> tuple[Any, ...]:
        answer = self._receive(ANSWER_SECONDS)
        if answer is None:
            raise NotHeldError("the process that was to stop it ended")
        if answer[0] == "gone":  # before this order came
            raise NotHeldError(f"the {self._seconds:g} s for which it may stand still were over")
        if answer[0] == "refused":
            raise NotHeldError(f"{answer[2]}: {os.strerror(answer[1])}")
        return answer

    def wait_until_ready(self) -> None:
        """Until it can hold. Raises NotHeldError."""
        if not self._is_ready and self._receive(READY_SECONDS) is None:
            raise NotHeldError(f"the process that was to stop it ({sys.executable}) did not start")
        self._is_ready = True

    def let_go(self) -> Gone:
        """They run on."""
        self._send(("go",))
        answer = self._receive(ANSWER_SECONDS)
        self.close()
        if answer is None:  # it was killed; at the latest now they run
            return Gone(time.monotonic() - self._start, False, {})
        return Gone(answer[1], answer[2], dict(answer[3]))

    def close(self) -> None:
        """Ends it, whatever it does: what it holds is let go."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _send(self, message: tuple[object, ...]) -> None:
        with contextlib.suppress(OSError):  # it has ended: so will its answers
            stopper.send(self._orders, message)

    def _receive(self, seconds: float) -> tuple[Any, ...] | None:
        try:
            return stopper.receive(self._answers, seconds)
        except (OSError, ValueError):
            return None


def decode_registers(architecture: Architecture, data: bytes) -> dict[str, int]:
    """The registers of NT_PRSTATUS by name; none where they are of another architecture (32 bits)."""
    names = architecture.registers
    if len(data) != 8 * len(names):
        return {}
    return dict(zip(names, struct.unpack(f"<{len(names)}Q", data), strict=True))
