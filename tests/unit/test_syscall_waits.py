"""System calls in words, from forged arguments and memory, over a recorded /proc and without one (a core)."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lastwords.capture.captured import KernelThread, Syscall
from lastwords.capture.kernel.facts import Facts, read_facts
from lastwords.capture.kernel.syscall_arguments import to_int
from lastwords.capture.kernel.syscall_sleep import format_time
from lastwords.capture.kernel.syscall_waits import KernelWait, describe_syscall_wait
from lastwords.capture.memory import ReadError, unreadable

PID = 70
AT = 0x10000
NEGATIVE = (1 << 64) - 1


class Forged:
    """A memory with some bytes at AT."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, address: int, size: int) -> bytes:
        if size < 0 or size > 1 << 20:
            raise ReadError("not a size")
        if not AT <= address <= AT + len(self.data) - size:
            raise unreadable(address, size, "not there")
        return self.data[address - AT : address - AT + size]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        return [self.read(*item) for item in ranges]


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    for pid, parent, argv, state in ((PID, 1, "python\0app.py\0", "S"), (71, PID, "sleep\x00100\0", "S")):
        for name in ("fd", "fdinfo", "ns", "task"):
            (tmp_path / str(pid) / name).mkdir(parents=True)
        (tmp_path / str(pid) / "cmdline").write_text(argv)
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (x) {state} {parent} {PID} 1 0\n")
    for fd, target, flags in (
        (5, "pipe:[9]", "00"),
        (6, "pipe:[8]", "01"),
        (7, "/tmp/a", "02"),
        (8, "pidfd:[1]", "02"),
    ):
        (tmp_path / f"70/fd/{fd}").symlink_to(target)
        (tmp_path / f"70/fdinfo/{fd}").write_text(f"flags:\t{flags}\nino:\t44\nPid:\t71\n")
    (tmp_path / "71/fd/1").symlink_to("pipe:[9]")
    (tmp_path / "71/fd/2").symlink_to("/tmp/a")
    (tmp_path / "71/fdinfo/1").write_text("flags:\t01\n")
    (tmp_path / "locks").write_text(
        "1: POSIX  ADVISORY  WRITE 71 08:01:44 0 EOF\n1: -> POSIX  ADVISORY  WRITE 70 08:01:44 0 1\n"
    )
    return read_facts(PID, tmp_path)


def describe(facts: Facts | None, name: str, *arguments: int, data: bytes = b"") -> KernelWait:
    syscall = Syscall(0, name, (*arguments, *(0,) * (6 - len(arguments))))
    found = describe_syscall_wait(KernelThread(PID, syscall=syscall), Forged(data), facts)
    assert found is not None
    assert found.call == name
    return found


PIPE = "fd 5, a pipe; the other end: process 71 (sleep 100)"
LONELY = "fd 6, a pipe; nobody has the other end open"
POLLED = struct.pack("<ihhihhihh", 5, 1, 0, -1, 1, 0, 6, 4, 0)
HALF = struct.pack("<qq", 1, 500_000_000)


@pytest.mark.parametrize(
    ("name", "arguments", "data", "kind", "detail", "fd", "pid"),
    [
        ("read", (5,), b"", "io", f"reads from {PIPE}", 5, 71),
        ("read", (5 | 7 << 32,), b"", "io", f"reads from {PIPE}", 5, 71),
        ("write", (6,), b"", "io", f"writes to {LONELY}", 6, None),
        ("read", (NEGATIVE,), b"", "io", "reads from fd -1", -1, None),
        ("fsync", (7,), b"", "io", "writes out fd 7, the file /tmp/a", 7, None),
        ("sendfile", (6, 5), b"", "io", f"copies from {PIPE}, to {LONELY}", None, None),
        ("splice", (5, 0, 6), b"", "io", f"copies from {PIPE}, to {LONELY}", None, None),
        ("accept", (9,), b"", "io", "accepts on fd 9", 9, None),
        ("poll", (AT, 3, 1500), POLLED, "io",
         f"poll, for 1.5 s at most, to read: {PIPE}; to write: {LONELY}", None, None),
        ("poll", (AT, 1, NEGATIVE), POLLED, "io", f"poll, to read: {PIPE}", 5, 71),
        ("poll", (0, 0, 20), b"", "sleep", "sleeps for 0.02 s (poll)", None, None),
        ("poll", (0, 0, NEGATIVE), b"", "sleep", "waits for ever, for no descriptor (poll)", None, None),
        ("ppoll", (AT, 1, AT + 8), POLLED[:8] + HALF, "io", f"ppoll, for 1.5 s at most, to read: {PIPE}", 5, 71),
        ("select", (7, AT, AT, 0, AT + 8), struct.pack("<Qqq", 0b1100000, 2, 500_000), "io",
         f"select, for 2.5 s at most, to read or write: {PIPE}; to read or write: {LONELY}", None, None),
        ("pselect6", (6, AT, 0, 0, 0), struct.pack("<Q", 0b1100000), "io", f"pselect6, to read: {PIPE}", 5, 71),
        ("epoll_wait", (9, AT, 1, NEGATIVE), b"", "io", "epoll_wait on fd 9", 9, None),
        ("wait4", (71,), b"", "process", "waits for the end of process 71 (sleep 100), sleeping", None, 71),
        ("wait4", (99,), b"", "process", "waits for the end of process 99", None, 99),
        ("wait4", (NEGATIVE,), b"", "process",
         "waits for the end of any child: process 71 (sleep 100), sleeping", None, 71),
        ("wait4", (0,), b"", "process",
         "waits for the end of any child of its process group: process 71 (sleep 100), sleeping", None, 71),
        ("wait4", (NEGATIVE - 98,), b"", "process",
         "waits for the end of any child of process group 99, and there is none", None, None),
        ("waitid", (2, 70), b"", "process",
         "waits for the end of any child of process group 70: process 71 (sleep 100), sleeping", None, 71),
        ("waitid", (0, 0), b"", "process",
         "waits for the end of any child: process 71 (sleep 100), sleeping", None, 71),
        ("waitid", (1, 71), b"", "process", "waits for the end of process 71 (sleep 100), sleeping", None, 71),
        ("waitid", (3, 8), b"", "process", "waits for the end of process 71 (sleep 100), sleeping", 8, 71),
        ("waitid", (3, 9), b"", "process", "waits for the end of the process of pidfd 9", 9, None),
        ("nanosleep", (AT,), HALF, "sleep", "sleeps for 1.5 s; since when is not known", None, None),
        ("clock_nanosleep", (1, 0, AT), HALF, "sleep", "sleeps for 1.5 s; since when is not known", None, None),
        ("clock_nanosleep", (3, 1, AT), HALF, "sleep", "sleeps until its clock 3 shows 1.50 s", None, None),
        ("fcntl", (7, 7), b"", "io",
         "waits for a lock (fcntl) on fd 7, the file /tmp/a; held by process 71 (sleep 100)", 7, 71),
        ("fcntl", (7, 6), b"", "io", "fcntl on fd 7, the file /tmp/a", 7, None),
        ("flock", (7, 2), b"", "io", "waits for a lock (flock) on fd 7, the file /tmp/a; "
         "the kernel does not say who holds it; the file is open in process 71 (sleep 100)", 7, None),
        ("open", (AT,), b"/tmp/fifo\0", "unknown", "open, whose arguments could not be read: 256 bytes at", None, None),
        ("open", (AT,), b"/tmp/fifo\0" + bytes(300), "io", "opens /tmp/fifo", None, None),
        ("openat", (1, AT + 0x80), bytes(128) + b"/tmp/f\0" + bytes(121), "io", "opens /tmp/f", None, None),
        ("rt_sigtimedwait", (AT, 0, AT + 8), struct.pack("<Q", 2) + HALF, "unknown",
         "waits for a signal: SIGINT, for 1.5 s at most", None, None),
        ("rt_sigsuspend", (AT,), struct.pack("<Q", 0), "unknown", "waits for any signal", None, None),
        ("pause", (), b"", "unknown", "waits for any signal", None, None),
        ("futex", (0x7F00,), b"", "futex", "waits for the word at 0x7f00 to change", None, None),
        ("restart_syscall", (), b"", "unknown",
         "goes on with a system call that was interrupted; which one is not known", None, None),
        ("semop", (4,), b"", "unknown", "waits for System V semaphores, number 4", None, None),
        ("syscall 451", (), b"", "unknown", "is in the system call syscall 451", None, None),
    ],
)  # fmt: skip
def test_in_words(
    facts: Facts,
    name: str,
    arguments: tuple[int, ...],
    data: bytes,
    kind: str,
    detail: str,
    fd: int | None,
    pid: int | None,
) -> None:
    found = describe(facts, name, *arguments, data=data)
    assert found.detail.startswith(detail)
    assert (found.kind, found.fd, found.pid) == (kind, fd, pid)
    assert len(found.detail) == len(detail) or "could not be read" in detail


IN4 = struct.pack("<H", socket.AF_INET) + b"\x00\x50" + bytes([10, 0, 0, 1]) + bytes(8)
IN6 = struct.pack("<H", socket.AF_INET6) + b"\x00\x50" + bytes(4) + bytes(15) + b"\1" + bytes(4)


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (IN4, "10.0.0.1:80"),
        (IN6, "[::1]:80"),
        (struct.pack("<H", 1) + b"/run/x\0\0\0", "/run/x"),
        (struct.pack("<H", 1) + b"\0abstract", "@abstract"),
        (struct.pack("<H", 38) + bytes(8), "an address of family 38"),
    ],
)
def test_addresses(facts: Facts, data: bytes, address: str) -> None:
    assert describe(facts, "connect", 9, AT, len(data), data=data).detail == f"connects fd 9 to {address}"
    assert describe(facts, "sendto", 9, 0, 0, 0, AT, len(data), data=data).detail == f"sends to fd 9, to {address}"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("poll", (AT, 1, 0)), ("poll", (AT, NEGATIVE, 0)), ("poll", (AT, 1 << 40, 0)), ("select", (NEGATIVE, AT)),
        ("select", (1 << 20, AT)), ("connect", (1, AT, NEGATIVE)), ("connect", (1, AT, 1 << 20)), ("nanosleep", (AT,)),
        ("clock_nanosleep", (1, 1, NEGATIVE)), ("rt_sigtimedwait", (0,)), ("openat", (0, NEGATIVE)),
        ("sendto", (3, 0, 0, 0, AT, 16)), ("ppoll", (0, 0, AT)), ("select", (0, 0, 0, 0, AT)),
    ],
)  # fmt: skip
def test_arguments_that_lead_nowhere(facts: Facts, name: str, arguments: tuple[int, ...]) -> None:
    found = describe(facts, name, *arguments)
    assert found.kind == "unknown"
    assert found.detail.startswith(f"{name}, whose arguments could not be read: ")


def test_a_lock_whose_taker_has_ended(facts: Facts) -> None:
    """A child has inherited it."""
    locks = "1: FLOCK  ADVISORY  WRITE 99 08:01:44 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 70 08:01:44 0 EOF\n"
    (facts.proc / "locks").write_text(locks)
    found = describe(facts, "flock", 7, 2)
    told = "taken by process 99, which has ended; the file is open in process 71 (sleep 100)"
    assert (found.peer, found.pid) == (told, None)


def test_a_time_that_is_none(facts: Facts) -> None:
    assert describe(facts, "nanosleep", AT, data=struct.pack("<qq", 1, 1 << 40)).kind == "unknown"


def test_too_few_arguments(facts: Facts) -> None:
    found = describe_syscall_wait(KernelThread(1, syscall=Syscall(0, "read", ())), Forged(b""), facts)
    assert found is not None
    assert found.kind == "unknown"


def test_a_core_knows_numbers_alone() -> None:
    assert describe(None, "read", 5).detail == "reads from fd 5"
    assert describe(None, "wait4", NEGATIVE).detail == "waits for the end of any child"
    assert describe(None, "wait4", 0).detail == "waits for the end of any child of its process group"
    assert describe(None, "flock", 5).detail == "waits for a lock (flock) on fd 5"
    assert describe(None, "epoll_wait", 5, AT, 1, 100).detail == "epoll_wait on fd 5, for 0.1 s at most"
    at = describe(None, "clock_nanosleep", 1, 1, AT, data=HALF)
    assert (at.detail, at.until) == ("sleeps until its clock 1 shows 1.50 s", None)


def test_a_thread_that_runs_waits_for_nothing(facts: Facts) -> None:
    assert describe_syscall_wait(KernelThread(1), Forged(b""), facts) is None


def test_absolute_times(facts: Facts) -> None:
    then = time.time() + 100
    real = describe(facts, "clock_nanosleep", 0, 1, AT, data=struct.pack("<qq", int(then), 123_456_789))
    assert real.until == round(int(then) + 0.123456789, 2)
    assert real.detail == f"sleeps until {format_time(real.until)}"
    monotonic = struct.pack("<qq", int(time.monotonic()) + 100, 0)
    until = describe(facts, "clock_nanosleep", 1, 1, AT, data=monotonic).until
    assert until is not None
    assert 0 < until - time.time() < 101


def test_a_clock_of_another_time_namespace_is_not_ours(facts: Facts) -> None:
    (facts.proc / "70/ns/time").symlink_to("time:[2]")
    assert describe(facts, "clock_nanosleep", 1, 1, AT, data=HALF).until is None


def test_times_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    assert format_time(1_000_000_060) == "01:47:40"
    assert format_time(1_000_100_000) == "2001-09-10 05:33:20"
    assert format_time(1e18) == "31688087782 years from now"
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("argument", "number"), [(0, 0), (0xFFFFFFFF, -1), (NEGATIVE, -1), (1 << 31, -(1 << 31)), (7 << 32 | 3, 3)]
)
def test_sign(argument: int, number: int) -> None:
    assert to_int(argument) == number


@pytest.mark.parametrize(("fds", "pids"), [((5, 8), (71,)), ((8, 6), (71,)), ((8, 7), None)])
def test_who_can_end_a_wait_for_several(facts: Facts, fds: tuple[int, int], pids: tuple[int, ...] | None) -> None:
    """A process by its end, too, which a pidfd tells; of a file nobody is known."""
    data = b"".join(struct.pack("<ihh", fd, 1, 0) for fd in fds)
    assert describe(facts, "poll", AT, 2, NEGATIVE, data=data).pids == pids
