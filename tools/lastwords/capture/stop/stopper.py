"""Holds the threads of a process still for the one who started this program; see live.py, which reads meanwhile.

A program of its own (standard library only, one thread, all signals blocked), so that whatever happens to its parent
the target is let go: no word for `seconds`, or the end of its input, and it lets go; a timer of the kernel kills it
after KILL_SECONDS even where it is stopped itself; and when it dies, the kernel lets go. `waitid` here never takes a
stop away (WNOWAIT), so that a signal that was on its way to a thread is delivered in each of these cases.

Orders come on stdin and answers go to stdout, each a tuple: four bytes of length, then `marshal`.

    ("stop", pid, seconds, calls, reads, vectors)
                                    hold all threads still that may be interrupted; again: also who came since
    ("go",)                         let go, and end

    ("ready",)
    ("held", others)                others: [tid] of those that are not; at once, so that memory can be read meanwhile
    ("stopped", stops)              stops: [(tid, status as waitid tells it, registers as NT_PRSTATUS)]
    ("refused", errno, what)        nothing is held
    ("gone", seconds, in_time, vectors)
                                    how long threads stood still, whether that ended because of ("go",), and
                                    [(tid, registers)], the first set among the order's `vectors` that the kernel has,
                                    told only now because they are many bytes
"""

from __future__ import annotations

import ctypes
import errno
import gc
import marshal
import os
import select
import sys
import time

TYPE_CHECKING = False  # typing's own takes longer to import than all of this
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn
else:  # what makes enums of these names takes as long to import as all else here
    import _signal as signal

SEIZE, INTERRUPT, GETREGSET, DETACH = 0x4206, 0x4207, 0x4204, 17  # linux/ptrace.h
NT_PRSTATUS = 1
REGISTERS_SIZE = 16384  # of any architecture: 11,008 with AMX
FILE_SIZE = 4096  # more than is read here of /proc
OWN_FILES = 64  # descriptors for other things
RUNNING = b"running\n"
ENDED_STATES = (b"", b"Z", b"X")  # Z: a main thread that ended before the others
WALL = 0x40000000  # linux/wait.h: threads too
HELD, ENDED = (os.CLD_TRAPPED, os.CLD_STOPPED), (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)
KILL_SECONDS = 1.8  # never longer than 2 s, on a busy machine either
BUSY_SECONDS = 0.5  # until a thread that waits for a processor has stopped
UNINTERRUPTIBLE_SECONDS = 0.02  # and one that nothing can wake (state D)
# Where read(2) restarts: not on sockets with SO_RCVTIMEO, nor on what a FUSE server or a driver may answer.
RESTARTING_FILES = ("pipe:", "anon_inode:", "/dev/pts/", "/dev/tty")

_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_buffer = ctypes.create_string_buffer(REGISTERS_SIZE)
_vector = _IoVec(ctypes.addressof(_buffer), REGISTERS_SIZE)


class _SignalEvent(ctypes.Structure):
    """`struct sigevent`: 64 bytes everywhere."""

    _fields_ = (
        ("value", ctypes.c_void_p), ("number", ctypes.c_int), ("notify", ctypes.c_int), ("rest", ctypes.c_char * 48)
    )  # fmt: skip


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`: the interval, then the first time."""

    _fields_ = (
        ("every_s", ctypes.c_long), ("every_ns", ctypes.c_long), ("first_s", ctypes.c_long), ("first_ns", ctypes.c_long)
    )  # fmt: skip


def arm(seconds: float) -> None:
    """The kernel kills this process after `seconds`, also where it is stopped then. Raises OSError."""
    library = _libc if hasattr(_libc, "timer_create") else ctypes.CDLL("librt.so.1", use_errno=True)  # glibc < 2.34
    timer = ctypes.c_void_p()
    event = _SignalEvent(number=signal.SIGKILL)
    spec = _TimerSpec(first_s=int(seconds), first_ns=int(seconds % 1 * 1e9))
    if library.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) or library.timer_settime(
        timer, 0, ctypes.byref(spec), None
    ):
        raise OSError(ctypes.get_errno(), "timer_create")


def ptrace(request: int, tid: int, address: int = 0, data: int = 0) -> int:
    """0, or the errno."""
    return ctypes.get_errno() if _ptrace(request, tid, address, data) < 0 else 0


class Stop:
    """The threads of a process, some of them held.

    calls: numbers of the system calls that the kernel restarts after an interruption, unseen by the program
    reads: those of them for which that depends on the file
    kinds: of sets of registers, of which the first that there is is kept of each held thread
    tids: all of them, as they were listed last
    files: descriptors of what /proc says of their calls, as far as there is room
    lines: what it said of those that may be interrupted, before they were
    seized: those that we trace; stops: status by tid of those that were interrupted, None until it has stopped
    """

    def __init__(self, pid: int, calls: frozenset[int], reads: frozenset[int], kinds: tuple[int, ...] = ()) -> None:
        self.pid = pid
        self.calls = calls
        self.reads = reads
        self.kinds = kinds
        self.tids: list[int] = []
        self.room = os.sysconf("SC_OPEN_MAX") - OWN_FILES
        self.files: dict[int, int] = {}
        self.lines: dict[int, bytes] = {}
        self.seized: set[int] = set()
        self.stops: dict[int, int | None] = {}
        self.gone: set[int] = set()
        self.refused: dict[int, int] = {}
        self.since: float | None = None
        self.vectors: dict[int, bytes] = {}

    def hold(self) -> None:
        """Interrupts every thread that may be, also those that others start meanwhile, and waits for them.

        All are seized first, which stops nobody: the first one stands still for as short a time as the last.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while time.monotonic() < deadline:
            self.tids = self._list()
            done = {*self.stops, *self.gone, *self.refused}
            seized = [tid for tid in self.tids if tid not in done and self._seize_one(tid)]
            news = [tid for tid in seized if self._interrupt(tid)]
            if not news:
                return
            self._wait(news, deadline)

    def _list(self) -> list[int]:
        try:
            return [int(name) for name in os.listdir(f"/proc/{self.pid}/task")]  # noqa: PTH208 - pathlib loads slowly
        except OSError:
            return []

    def _seize_one(self, tid: int) -> bool:
        """Whether we trace the thread: one that may be interrupted, or that was traced before."""
        line = self._look(tid)
        if not self._may_interrupt(line):
            return tid in self.seized
        self.lines[tid] = line
        return self._seize(tid)

    def _interrupt(self, tid: int) -> bool:
        """Whether the thread has been interrupted, or has stopped or ended.

        It may have made a call since: it is looked at again, with nothing between look and interruption.
        """
        line = self._look(tid)
        if line != self.lines.get(tid) and not self._may_interrupt(line):
            return self._has_stopped(tid)  # a signal has stopped it, now that we trace it; or it has begun a call
        self.since = self.since or time.monotonic()
        self.stops[tid] = None
        return not ptrace(INTERRUPT, tid)

    def _look(self, tid: int) -> bytes:
        """What /proc says of the call that a thread is in; empty where it has ended, or the kernel does not tell."""
        path = f"/proc/{self.pid}/task/{tid}/syscall"
        try:
            if tid not in self.files and len(self.files) < self.room:
                self.files[tid] = os.open(path, os.O_RDONLY)
            return os.pread(self.files[tid], FILE_SIZE, 0) if tid in self.files else read_file(path)
        except OSError:
            return b""

    def _seize(self, tid: int) -> bool:
        if tid in self.seized:
            return True
        error = ptrace(SEIZE, tid)
        if error == errno.ESRCH or (error and self._state(tid) in ENDED_STATES):
            self.gone.add(tid)
        elif error:
            self.refused[tid] = error
        else:
            self.seized.add(tid)
        return not error

    def _may_interrupt(self, line: bytes) -> bool:
        """Whether a thread of which /proc says this is in no system call, or in one that the kernel restarts."""
        if line == RUNNING:
            return True
        call = line.split()
        if not call or call[0] == b"-1":
            return bool(call)
        number = int(call[0])
        return number in self.calls and (number not in self.reads or self._is_restarting(int(call[1], 16)))

    def _is_restarting(self, fd: int) -> bool:
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{fd}").startswith(RESTARTING_FILES)  # noqa: PTH115
        except OSError:
            return False

    def _wait(self, tids: list[int], deadline: float) -> None:
        start = time.monotonic()
        while tids := [tid for tid in tids if not self._has_stopped(tid)]:
            now = time.monotonic()
            if now > deadline:
                return
            if now > start + UNINTERRUPTIBLE_SECONDS:
                tids = [tid for tid in tids if self._state(tid) not in (b"D", *ENDED_STATES)]
            signal.sigtimedwait({signal.SIGCHLD}, UNINTERRUPTIBLE_SECONDS / 5)

    def _has_stopped(self, tid: int) -> bool:
        """Whether it has stopped or ended. A stop is left to be seen again, an end is taken."""
        try:
            found = os.waitid(os.P_PID, tid, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG | WALL)
            if found is not None and found.si_code in ENDED:
                os.waitpid(tid, os.WNOHANG | WALL)
        except ChildProcessError:  # another thread's exec took its place
            self._forget(tid)
            return True
        if found is None:
            return False
        if found.si_code in HELD:
            self.stops[tid] = found.si_status
        else:
            self._forget(tid)
        return True

    def _forget(self, tid: int) -> None:
        self.stops.pop(tid, None)
        self.gone.add(tid)

    def _state(self, tid: int) -> bytes:
        """The letter of its state; empty where it is gone."""
        return read_file(f"/proc/{self.pid}/task/{tid}/stat").rpartition(b")")[2].strip()[:1]

    def others(self) -> list[int]:
        """Those that are not held."""
        return [tid for tid in self.tids if self.stops.get(tid) is None]

    def refusal(self) -> int:
        """Why none is held: an errno; 0 where one is."""
        is_held = any(status is not None for status in self.stops.values())
        return next(iter(self.refused.values()), 0) if not is_held else 0

    def registers(self) -> list[tuple[int, int, bytes]]:
        """Of those that are held."""
        stops = ((tid, status, read_registers(tid)) for tid, status in self.stops.items() if status is not None)
        return [one for one in stops if one[2]]

    def read_vectors(self) -> None:
        """Keeps the other registers of those that are held."""
        for tid, status in self.stops.items() if self.kinds else ():
            if status is not None and tid not in self.vectors:
                self.vectors[tid] = next(filter(None, (read_registers(tid, kind) for kind in self.kinds)), b"")

    def release(self) -> float:
        """Lets every thread go, with the signal that was on its way to it. How many seconds it took since the first."""
        for tid in self.seized:
            status = self.stops.get(tid)
            if status is None and self._has_stopped(tid):
                status = self.stops.get(tid)
            if status is not None:
                ptrace(DETACH, tid, data=pending_signal(status))
        return time.monotonic() - self.since if self.since else 0.0


def pending_signal(status: int) -> int:
    """The signal that a thread is about to get; 0 where it stands for us (PTRACE_EVENT_STOP in the second byte)."""
    return 0 if status >> 8 else status


def read_registers(tid: int, kind: int = NT_PRSTATUS) -> bytes:
    """As PTRACE_GETREGSET gives them; empty for a thread that was killed meanwhile, or a set that it has not."""
    _vector.length = REGISTERS_SIZE
    if ptrace(GETREGSET, tid, kind, ctypes.addressof(_vector)):
        return b""
    return ctypes.string_at(_buffer, _vector.length)


def read_file(path: str) -> bytes:
    """A small file of /proc; empty where it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(fd, FILE_SIZE)
    except OSError:
        return b""
    finally:
        os.close(fd)


def send(fd: int, message: tuple[Any, ...]) -> None:
    """Writes one message, whole. Raises OSError."""
    data = marshal.dumps(message)
    data = len(data).to_bytes(4, "little") + data
    while data:
        data = data[os.write(fd, data) :]


def receive(fd: int, seconds: float | None) -> tuple[Any, ...] | None:
    """The next message; None where none came in time, or the other side has ended. Raises OSError."""
    deadline = None if seconds is None else time.monotonic() + seconds
    size = _read_exactly(fd, 4, deadline)
    data = _read_exactly(fd, int.from_bytes(size, "little"), deadline) if size else None
    message: tuple[Any, ...] | None = marshal.loads(data) if data else None  # from our own process
    return message


def _read_exactly(fd: int, size: int, deadline: float | None) -> bytes | None:
    data = b""
    while len(data) < size:
        left = None if deadline is None else max(deadline - time.monotonic(), 0) * 1000
        poll = select.poll()  # select() knows no descriptor above 1,023
        poll.register(fd, select.POLLIN)
        if not poll.poll(left):
            return None
        more = os.read(fd, size - len(data))
        if not more:
            return None
        data += more
    return data


def main() -> NoReturn:
    """Obeys until let go, told to, late, or alone."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    gc.disable()
    orders, answers = sys.stdin.fileno(), sys.stdout.fileno()
    send(answers, ("ready",))
    order = receive(orders, None)
    if order is None or order[0] != "stop":
        os._exit(0)
    _, pid, seconds, calls, reads, kinds = order
    try:
        arm(KILL_SECONDS)
    except OSError as error:
        send(answers, ("refused", error.errno, "timer_create"))
        os._exit(1)
    deadline = time.monotonic() + seconds
    stop = Stop(pid, frozenset(calls), frozenset(reads), kinds)
    while order is not None and order[0] == "stop":
        stop.hold()
        refusal = stop.refusal()
        if refusal:
            send(answers, ("refused", refusal, "ptrace"))
        else:
            send(answers, ("held", stop.others()))
            send(answers, ("stopped", stop.registers()))
            stop.read_vectors()
        order = receive(orders, max(deadline - time.monotonic(), 0))
    send(answers, ("gone", stop.release(), order is not None, list(stop.vectors.items())))
    os._exit(0)


if __name__ == "__main__":
    main()
