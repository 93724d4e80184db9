"""What the kernel says that threads wait for, on real ones: each kind of system call, and who is at the other end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import PATIENCE, Target, wait_until
from interpreters import Interpreter as Python
from lastwords.capture import procfs
from lastwords.capture.kernel.facts import Facts, read_facts
from lastwords.capture.kernel.syscall_waits import KernelWait, describe_syscall_wait
from lastwords.capture.memory import ProcessMemory
from lastwords.capture.stop.kernel_threads import read_kernel_threads

Start = Callable[..., Target]
Waits = dict[str, tuple[dict[str, Any], KernelWait]]

CALLS = {
    "pipe": "read", "own_pipe": "read", "full_pipe": "write", "child": "wait4", "select": "p?select6?",
    "select_sleep": "p?select6?", "poll": "p?poll", "epoll": "epoll_(p?wait|pwait2)", "socketpair": "recvfrom",
    "accept": "accept4?", "tcp": "recvfrom", "not_accepted": "recvfrom", "udp": "recvfrom", "unix_accept": "accept4?",
    "open_fifo": "open(at)?", "flock": "flock", "fcntl": "fcntl", "sleep": "p?select6?|clock_nanosleep",
    "sigwait": "rt_sigtimedwait", "pause": "pause",
}  # fmt: skip


def see(pid: int, facts: Facts) -> dict[int, KernelWait | None]:
    memory = ProcessMemory(pid)
    return {one.tid: describe_syscall_wait(one, memory, facts) for one in read_kernel_threads(pid)}


def all_wait(pid: int, expected: dict[int, str]) -> bool:
    calls = {one.tid: one.syscall for one in read_kernel_threads(pid)}
    return all((call := calls.get(tid)) and re.fullmatch(name, call.name) for tid, name in expected.items())


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def waits(interpreter: Python, start_target: Start, server: socket.socket) -> Iterator[Waits]:
    target = start_target(interpreter, "waits_in_kernel.py", str(server.getsockname()[1]))
    told = json.loads(target.wait_for("waits ").removeprefix("waits "))
    accepted, _ = server.accept()
    try:
        wait_until(
            lambda: all_wait(target.pid, {one["tid"]: CALLS[one["name"]] for one in told["waits"]}), "all threads wait"
        )
        seen = see(target.pid, read_facts(target.pid))
        found = {one["name"]: (one, wait) for one in told["waits"] if (wait := seen[one["tid"]]) is not None}
        assert len(found) == len(told["waits"])
        found["itself"] = ({"pid": target.pid}, found["pause"][1])
        yield found
    finally:
        accepted.close()
        shutil.rmtree(told["folder"])


def test_every_kind_of_wait(waits: Waits) -> None:
    pid = waits.pop("itself")[0]["pid"]
    assert set(CALLS) - set(waits) <= {"sigwait"}
    for name, (told, wait) in waits.items():
        check = globals()[f"check_{name}"]
        assert check(told, wait, pid), f"{name}: {told}: {wait}"


@pytest.mark.interpreters("native_thread_id")
def test_a_call_that_was_interrupted_is_the_same_call(interpreter: Python, start_target: Start) -> None:
    """SIGSTOP and SIGCONT make a wait with a time go on as `restart_syscall`."""
    target = start_target(interpreter, "waits_in_poll.py")
    fd = int(target.wait_for("polls ").split()[1])
    told = rf"p?poll, for (1000|9\d\d\.\d+) s at most, to read: fd {fd}, a pipe; the other end: this process itself .*"
    for number, state in ((None, "S"), (signal.SIGSTOP, "T"), (signal.SIGCONT, "S")):
        if number is not None:
            os.kill(target.pid, number)
        wait_until(lambda state=state: polls(target.pid, state), f"it polls, in state {state}")  # type: ignore[misc]
        wait = see(target.pid, read_facts(target.pid))[target.pid]
        assert wait is not None
        assert (wait.kind, wait.fd) == ("io", fd), wait
        assert re.fullmatch(told, wait.detail), wait.detail


def polls(pid: int, state: str) -> bool:
    return procfs.read_status(pid).state == state and all_wait(pid, {pid: "p?poll"})


def is_io(told: dict[str, Any], wait: KernelWait) -> bool:
    return wait.kind == "io" and wait.fd == told["fd"] and wait.until is None


def has_itself(told: dict[str, Any], wait: KernelWait) -> bool:
    """2.7 leaves its pipes to its children, too."""
    return is_io(told, wait) and f"this process itself (fd {told['other']})" in wait.detail


def check_pipe(told: dict[str, Any], wait: KernelWait, pid: int) -> bool:
    beginning = f"reads from fd {told['fd']}, a pipe; the other end: process {told['pid']} (python"
    return is_io(told, wait) and wait.pid == told["pid"] != pid and wait.detail.startswith(beginning)


def check_own_pipe(told: dict[str, Any], wait: KernelWait, pid: int) -> bool:
    return has_itself(told, wait) and wait.pid in (pid, None) and wait.detail.startswith("reads from")


def check_full_pipe(told: dict[str, Any], wait: KernelWait, pid: int) -> bool:
    return has_itself(told, wait) and wait.pid in (pid, None) and wait.detail.startswith("writes to")


def check_child(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    beginning = f"waits for the end of process {told['pid']} (python"
    return (wait.kind, wait.pid) == ("process", told["pid"]) and wait.detail.startswith(beginning)


def check_select(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    return has_itself(told, wait) and f"select6, to read: fd {told['fd']}, a pipe" in wait.detail


def check_select_sleep(_: dict[str, Any], wait: KernelWait, __: int) -> bool:
    return wait.kind == "sleep" and wait.detail.startswith("sleeps for 1000 s (")


def check_poll(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    shown = all(f"to read: fd {fd}, a pipe; the other end: " in wait.detail for fd in told["fds"])
    return wait.kind == "io" and wait.fd is None and shown and "for 1000 s at most" in wait.detail


def check_epoll(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    shown = all(f"to read: fd {fd}, a pipe; the other end: " in wait.detail for fd in told["fds"])
    return is_io(told, wait) and shown and "at most" not in wait.detail


def check_socketpair(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    return has_itself(told, wait) and f"receives from fd {told['fd']}, a unix socket; the other end" in wait.detail


def check_accept(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    return is_io(told, wait) and wait.detail == f"accepts on 127.0.0.1:{told['port']} (TCP), fd {told['fd']}"


def check_tcp(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    name = f"TCP 127.0.0.1:{told['own']} to 127.0.0.1:{told['port']}; the other end: process {os.getpid()} ("
    return is_io(told, wait) and wait.pid == os.getpid() and name in wait.detail


def check_not_accepted(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    listener = f"not accepted yet; the listening socket: this process itself (fd {told['other']})"
    return is_io(told, wait) and listener in wait.detail


def check_udp(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    return is_io(told, wait) and wait.detail.endswith(f", UDP, 127.0.0.1:{told['port']}")


def check_unix_accept(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    return is_io(told, wait) and wait.detail == f"accepts on {told['path']} (unix), fd {told['fd']}"


def check_open_fifo(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    return wait.kind == "io" and wait.detail == f"opens {told['path']}"


def check_flock(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    return is_io(told, wait) and wait.pid == told["pid"] and f"; held by process {told['pid']} (python" in wait.detail


check_fcntl = check_flock


def check_sleep(told: dict[str, Any], wait: KernelWait, _: int) -> bool:
    """An absolute time is known, a relative one began nobody knows when."""
    if wait.call != "clock_nanosleep":
        return wait.kind == "sleep" and wait.detail.startswith("sleeps for 1000 s")
    return wait.kind == "sleep" and wait.until is not None and -1 < wait.until - told["began"] - 1000 < PATIENCE


def check_sigwait(_: dict[str, Any], wait: KernelWait, __: int) -> bool:
    return wait.detail == "waits for a signal: SIGUSR2"


def check_pause(_: dict[str, Any], wait: KernelWait, __: int) -> bool:
    return wait.detail == "waits for any signal"


def test_facts_are_cheap() -> None:
    """The goal is 20 ms with 100 descriptors and 200 processes; the bound, of processor time, is for more of these."""
    pipes = [os.pipe() for _ in range(50)]
    try:
        times = []
        for _ in range(5):
            start = time.process_time()
            facts = read_facts(os.getpid())
            assert len(facts.all_descriptors()) >= 100
            assert f"this process itself (fd {pipes[0][1]})" in facts.describe(pipes[0][0])
            times.append(time.process_time() - start)
        assert min(times) < 0.1
    finally:
        for fd in (fd for pipe in pipes for fd in pipe):
            os.close(fd)


def test_a_thread_of_our_own_that_runs_waits_for_nothing() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=lambda: [None for _ in iter(ended.is_set, True)])
    thread.start()
    try:
        wait_until(lambda: see(os.getpid(), read_facts(os.getpid()))[thread.native_id or 0] is None, "it runs")
    finally:
        ended.set()
        thread.join()


def test_the_checks_can_fail() -> None:
    told = {"fd": 3, "fds": [3, 4], "pid": 5, "other": 6, "port": 7, "own": 8, "path": "/x", "began": 0.0}
    other = KernelWait("io", "clock_nanosleep", "something else", fd=99, pid=98, until=1.0)
    assert not any(globals()[f"check_{name}"](told, other, 5) for name in CALLS)
