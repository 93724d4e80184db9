"""Each signal reaches the program once: sent to lastwords, to the program, or to the group that both are in."""

from __future__ import annotations

import ast
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from harness import TARGETS, Output, wait_until
from interpreters import Interpreter
from transparency import MODES, command_line, default_signals, end

PROGRAM = TARGETS / "counts_signals.py"
# What would end us or is about us (a signal of our own fault), and SIGSTKFLT, which nothing sends and gdb loses.
OURS = {4, 5, 6, 7, 8, 9, 11, 13, 16, 17, 19, 31}
SENT = sorted(set(map(int, signal.valid_signals())) - OURS)


class Counter:
    """A running counts_signals.py; `pid` is its own, `process` is who the user started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self.process = process
        self.output = Output(process.stdout)
        self.pid = int(self.wait_for("ready").split()[1])
        self.asked = 0

    def wait_for(self, beginning: str) -> str:
        line = self.output.wait_for_line(beginning, 30)
        assert line is not None, self.output.text
        return line

    def ask(self) -> tuple[dict[int, int], list[int]]:
        """How often each signal came since the last question, and what is pending."""
        assert self.process.stdin is not None
        self.asked += 1
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        wait_until(lambda: self.output.text.count("\n") > self.asked, "it answers", 30)
        counts, _, pending = self.output.text.splitlines()[-1].removeprefix("counts ").partition(" pending ")
        return dict(ast.literal_eval(counts)), ast.literal_eval(pending)

    def count(self, send: Callable[[], None], expected: dict[int, int]) -> dict[int, int]:
        """What came after `send()`, asked until it is no less than `expected`, and once more for what is too much."""
        send()
        found: dict[int, int] = {}
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            enough = all(found.get(number, 0) >= times for number, times in expected.items())
            for number, times in self.ask()[0].items():
                found[number] = found.get(number, 0) + times
            if enough:
                break
        return found


@contextmanager
def counting(mode: str, python: Path, way: str, directory: Path) -> Iterator[Counter]:
    with started(command_line(mode, [python, PROGRAM, way], directory)) as process:
        yield Counter(process)


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Leads a session of its own; ended with the block."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        preexec_fn=default_signals,  # noqa: PLW1509  # nothing else runs in this process
    )  # fmt: skip
    try:
        yield process
    finally:
        end(process)


def taken(pid: int, number: int) -> bool:
    """Whether no thread or process of `pid` has the signal pending: it has been taken, or handed on."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [line.split()[1] for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return not any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


@pytest.mark.interpreters(minors=("2.7", "3.12"))
@pytest.mark.parametrize("mode", MODES)
def test_each_signal_comes_once(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    with counting(mode, interpreter.path, "handle", tmp_path) as counter:
        ours = counter.process.pid
        once = dict.fromkeys(SENT, 1)

        def send(function: Callable[[int, int], None], to: int) -> Callable[[], None]:
            def send_all() -> None:
                for number in SENT:
                    function(to, number)
                    wait_until(partial(taken, ours, number), "lastwords has taken it", 10)
                    wait_until(partial(taken, counter.pid, number), "the program has taken it", 10)

            return send_all

        assert counter.count(send(os.kill, ours), once) == once
        assert counter.count(send(os.kill, counter.pid), once) == once
        assert counter.count(send(os.killpg, ours), once) == once


@pytest.mark.interpreters(minors=("3.12",))
@pytest.mark.parametrize("mode", MODES)
def test_a_queued_signal_keeps_its_value(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    """sigqueue(3) to us: the program gets every one, in order, with its value."""
    number = int(signal.SIGRTMIN) + 5
    libc = ctypes.CDLL(None)
    code = f"""if 1:
    import ctypes, os, signal
    signal.pthread_sigmask(signal.SIG_BLOCK, [{number}])
    libc, info = ctypes.CDLL(None), (ctypes.c_long * 16)()
    wanted = (ctypes.c_ulong * 16)(1 << {number - 1})
    os.write(1, b"ready %d\\n" % os.getpid())
    for _ in range(5):
        libc.sigwaitinfo(wanted, info)
        os.write(1, b"value %d\\n" % info[3])
    """
    with started(command_line(mode, [interpreter.path, "-c", code], tmp_path)) as process:
        assert process.stdout is not None
        output = Output(process.stdout)
        assert output.wait_for_line("ready", 30)
        for value in range(5):
            libc.sigqueue(process.pid, number, ctypes.c_void_p(value * 1000))
        assert process.wait(30) == 0
        output.close()
        assert output.text.splitlines()[1:] == [f"value {value * 1000}" for value in range(5)]


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.interpreters(minors=("3.12",))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["ignore", "block", "wait", "default"])
def test_an_interrupt_is_what_the_program_makes_of_it(
    interpreter: Interpreter, mode: str, way: str, tmp_path: Path
) -> None:
    with counting(mode, interpreter.path, way, tmp_path) as counter:
        os.kill(counter.process.pid, signal.SIGINT)
        if way == "default":
            assert counter.process.wait(30) == -signal.SIGINT
            return
        if way == "wait":
            assert counter.wait_for("took") == "took 2"
            counter.asked += 1
        if way == "block":
            wait_until(lambda: not taken(counter.pid, signal.SIGINT), "it is pending", 20)
        counts, pending = counter.ask()
        assert (counts, pending) == ({}, [2] if way == "block" else [])


@pytest.mark.interpreters(minors=("2.7", "3.12"))
@pytest.mark.parametrize("mode", MODES)
def test_a_stop_by_someone_else_stops_both(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    """SIGSTOP to the program: our parent sees that we stop, by the same signal, and go on with it; nothing is lost."""
    with counting(mode, interpreter.path, "handle", tmp_path) as counter:
        ours = counter.process.pid
        for _ in range(3):
            os.kill(counter.pid, signal.SIGSTOP)
            _, status = os.waitpid(ours, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            assert os.WSTOPSIG(status) == signal.SIGSTOP
            assert state(counter.pid) in "tT"
            os.kill(counter.pid, signal.SIGUSR1)
            assert state(counter.pid) in "tT"
            os.kill(counter.pid, signal.SIGCONT)
            _, status = os.waitpid(ours, os.WCONTINUED)
            assert os.WIFCONTINUED(status)
            once = {int(signal.SIGUSR1): 1, int(signal.SIGCONT): 1}
            assert counter.count(lambda: None, once) == once


@pytest.mark.interpreters(minors=("3.12",))
def test_the_count_sees_what_comes_twice(interpreter: Interpreter, tmp_path: Path) -> None:
    """The check itself: a signal sent twice is counted twice, one that is not sent not at all."""
    with counting("bare", interpreter.path, "handle", tmp_path) as counter:

        def twice() -> None:
            for _ in range(2):
                os.kill(counter.pid, signal.SIGUSR1)
                wait_until(partial(taken, counter.pid, signal.SIGUSR1), "it is taken, not merged with the next")

        found = counter.count(twice, {int(signal.SIGUSR1): 1})
        assert found == {int(signal.SIGUSR1): 2}
