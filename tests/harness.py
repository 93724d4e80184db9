"""Starts the tiny programs of tests/targets under an interpreter, waits for what they say, and always ends them.

A target prints one line `ready` when the state under test is reached (and flushes it): nobody sleeps.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

from interpreters import Interpreter
from lastwords.capture import procfs

TARGETS = Path(__file__).resolve().parent / "targets"
PATIENCE = 120.0  # seconds: a bound for a machine under load, never the time a test takes
STILL = 3  # looks between which nothing has run


class Output:
    """What one stream of a target has said so far; a thread reads it, so that the target never blocks on us."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._said = bytearray()
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while chunk := os.read(self._stream.fileno(), 65536):
            with self._news:
                self._said += chunk
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def data(self) -> bytes:
        """All bytes so far."""
        with self._news:
            return bytes(self._said)

    @property
    def text(self) -> str:
        """All text so far; what is no UTF-8 is shown escaped."""
        return self.data.decode(errors="backslashreplace")

    def wait_for_line(self, beginning: str, timeout: float) -> str | None:
        """The first whole line that begins so; None if the stream ends, or `timeout` seconds pass, without it."""
        deadline = time.monotonic() + timeout
        with self._news:
            while (line := self._find_line(beginning)) is None and not self._ended:
                if not self._news.wait(deadline - time.monotonic()):
                    break
            return line if line is not None else self._find_line(beginning)

    def _find_line(self, beginning: str) -> str | None:
        whole = self._said.decode(errors="backslashreplace").rpartition("\n")[0]
        return next((line for line in whole.splitlines() if line.startswith(beginning)), None)

    def close(self, timeout: float = 5.0) -> None:
        """Wait for the reader: the stream ends when its last writer is gone."""
        self._reader.join(timeout)
        if not self._reader.is_alive():
            self._stream.close()


class Target:
    """A running target: `pid`, what it says on `stdout` and `stderr`, and its end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.pid = process.pid
        self.stdout = Output(process.stdout)
        self.stderr = Output(process.stderr)

    def wait_for(self, beginning: str = "ready", timeout: float = PATIENCE) -> str:
        """The line of stdout that begins so. AssertionError with all that the target said if it does not come."""
        line = self.stdout.wait_for_line(beginning, timeout)
        assert line is not None, f"the target did not say {beginning!r}\n{self.describe()}"
        return line

    def send_line(self, line: str = "") -> None:
        """Give the target a line to read from its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def wait(self, timeout: float = PATIENCE) -> int:
        """Its exit code (negative: the signal that ended it), once it and its output have ended."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the target did not end in {timeout:g} s\n{self.describe()}") from None
        self.stdout.close()
        self.stderr.close()
        return code

    def describe(self) -> str:
        """What it is and what it said, for a failing test."""
        state = self.process.poll()
        ended = "still running" if state is None else f"ended with {state}"
        command = " ".join(map(str, self._command()))
        return f"pid {self.pid}, {ended}: {command}\nstdout: {self.stdout.text}\nstderr: {self.stderr.text}"

    def _command(self) -> Sequence[object]:
        return [self.process.args] if isinstance(self.process.args, str) else list(self.process.args)  # type: ignore[arg-type]

    def end(self) -> None:
        """Kill it and what it started, each by its pid, and reap it."""
        for member in self._family():
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()
        self.stdout.close()
        self.stderr.close()

    def _family(self) -> list[psutil.Process]:
        """The target, its descendants, and whatever is left in the session that was made for it."""
        members = [one for one in psutil.process_iter() if _session_of(one.pid) == self.pid]
        try:
            target = psutil.Process(self.pid)
            members += [target, *target.children(recursive=True)]
        except psutil.NoSuchProcess:
            pass
        return list({one.pid: one for one in members}.values())


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without what steers a Python, and with `extra`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | dict(extra or {})


@contextmanager
def running(
    command: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Target]:
    """Any command as a Target, in a session of its own, with a pipe for stdin. Ended when the block is left."""
    process = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=clean_environment(env), cwd=cwd, start_new_session=True,
    )  # fmt: skip
    target = Target(process)
    try:
        yield target
    finally:
        target.end()


@contextmanager
def target_running(
    python: Interpreter | Path,
    program: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    ready: str = "ready",
) -> Iterator[Target]:
    """tests/targets/`program` under `python`, after it has said `ready` (pass "" to not wait)."""
    path = python.path if isinstance(python, Interpreter) else python
    with running([path, TARGETS / program, *arguments], env=env) as target:
        if ready:
            target.wait_for(ready)
        yield target


def wait_until(holds: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
    """Look again and again until `holds()`; AssertionError saying `what` did not come to pass in `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not in {timeout:g} s: {what}"
        time.sleep(0.005)


def wait_until_at_rest(*pids: int, threads: int = 1) -> None:
    """Until every thread of these processes, each with at least so many, sleeps in the kernel, and has for a while.

    "ready" is said before the wait that it announces, and who waits for the GIL sleeps, too.
    """
    looks: list[list[str]] = []

    def at_rest() -> bool:
        looks.append([line for pid in pids for line in _look_at_threads(pid, threads)])
        return "" not in looks[-1] and looks[-STILL:] == STILL * looks[-1:]

    wait_until(at_rest, f"all threads of {pids} wait")


def _look_at_threads(pid: int, threads: int) -> list[str]:
    """A line for each thread that sleeps: it is another one when it has run; "" for one that does not sleep."""
    tids = procfs.read_tasks(pid)
    return [_look_at_thread(pid, tid) for tid in tids] if len(tids) >= threads else [""]


def _look_at_thread(pid: int, tid: int) -> str:
    try:
        state = procfs.read_task_stat(pid, tid)[1]
        call, switches = procfs.read_text(pid, f"task/{tid}/syscall"), procfs.read_task_switches(pid, tid)
    except OSError:
        return ""
    return "" if state != "S" or call.startswith("running") else f"{tid} {call} {switches}"


def name_values(text: str, **words: object) -> str:
    """The text with `<word>` for each value, as golden files have it; a number only where it stands as a whole."""
    for word, value in sorted(words.items(), key=lambda item: -len(str(item[1]))):
        text = re.sub(rf"(?<!\d){re.escape(str(value))}(?!\d)", f"<{word}>", text)
    return text


def signal_name(code: int) -> str:
    """A negative exit code as the signal's name."""
    return signal.Signals(-code).name if code < 0 else str(code)
