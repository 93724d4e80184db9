"""Starts a program of healthy_programs, waits until it is ready, gives it work; and the broker that some need."""

from __future__ import annotations

import http.client
import json
import os
import pty
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import Environment

PROGRAMS = Path(__file__).resolve().parent / "healthy_programs"
REDIS = Path("/usr/bin/redis-check-rdb")  # Debian's redis-tools: the same file as redis-server, which no package starts
READY = 60.0  # seconds that a program may take until it is ready
ASKING = 2  # clients at once
PAUSE = 0.02  # seconds between two requests of a client


@dataclass(frozen=True)
class Program:
    """What NAME.json says of one program; the fields are told in tests/verdicts/README.md."""

    name: str
    cmd: tuple[str, ...]
    ready: str
    load: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ("3.11",)
    states: tuple[str, ...] = ("idle", "busy")
    packages: bool = True
    redis: bool = False
    sample: bool = False
    expected: tuple[str, ...] = ("healthy",)

    @property
    def is_broken(self) -> bool:
        """Whether it hangs, so that `healthy` would be wrong."""
        return self.expected != ("healthy",)


def read_programs(names: list[str]) -> list[Program]:
    """Those of the folder, by name; only those called `names`, if there are any. Raises LookupError for others."""
    found = [_read(path) for path in sorted(PROGRAMS.glob("*.json"))]
    if unknown := set(names) - {one.name for one in found}:
        raise LookupError(f"{PROGRAMS} has no program {', '.join(sorted(unknown))}")
    return [one for one in found if not names or one.name in names]


def _read(path: Path) -> Program:
    said: dict[str, Any] = json.loads(path.read_text())
    fields: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in said.items()}
    return Program(path.stem, **fields)


class Running:
    """A started program: its words filled in, its process, what it has said."""

    def __init__(self, program: Program, state: str, environment: Environment, folder: Path) -> None:
        self.program, self.state = program, state
        self._folder = folder
        self._environment = environment
        self.port = _free_port()
        self._words = {
            "{py}": str(environment.python), "{bin}": str(environment.python.parent), "{port}": str(self.port),
            "{state}": state, "{dir}": str(folder), "{programs}": str(PROGRAMS),
        }  # fmt: skip
        self.process = self._start(program.cmd, folder / "program.log", is_terminal=program.ready == "prompt")

    def _start(self, command: tuple[str, ...], log: Path, is_terminal: bool = False) -> subprocess.Popen[bytes]:
        words = [self._fill(word) for word in command]
        self.terminal = -1
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL}
        with log.open("wb") as file:
            given |= {"stdout": file, "stderr": file}
            if is_terminal:
                self.terminal, theirs = pty.openpty()
                given = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
            process = subprocess.Popen(words, cwd=self._folder, env=self._variables(), start_new_session=True, **given)
            if is_terminal:
                os.close(theirs)
        return process

    def _fill(self, word: str) -> str:
        for name, value in self._words.items():
            word = word.replace(name, value)
        return word

    def _variables(self) -> dict[str, str]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        own = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(PROGRAMS), "TERM": "xterm"}
        told = {"LASTWORDS_FOLDER": str(self._folder), "LASTWORDS_STATE": self._words["{state}"]}
        return variables | own | self._environment.env | told

    def wait_until_ready(self) -> None:
        """Raises TimeoutError, with what it said last."""
        is_ready = {"http": self._answers, "file": (self._folder / "ready").exists, "prompt": self._prompts}
        end = time.monotonic() + READY
        while not is_ready[self.program.ready]():
            if time.monotonic() > end or self.process.poll() is not None:
                said = (self._folder / "program.log").read_text(errors="replace")[-800:]
                raise TimeoutError(f"{self.program.name} is not ready: {said}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            _ask(self.port, "/")
            return True
        return False

    def _prompts(self) -> bool:
        return b">>> " in os.read(self.terminal, 4096)

    @contextmanager
    def load(self) -> Iterator[None]:
        """Gives it work as long as the block runs."""
        over, how = threading.Event(), self.program.load
        work: Callable[[], None] | None = {
            "http": lambda: _ask(self.port, how[1]), "type": lambda: self._type(how[1])
        }.get(how[0] if how else "")  # fmt: skip
        threads = [threading.Thread(target=_repeat, args=(work, over)) for _ in range(ASKING if work else 0)]
        for thread in threads:
            thread.start()
        process = self._start(how, self._folder / "load.log") if how and not work else None
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()
            if process:
                _end(process)

    def _type(self, line: str) -> None:
        os.write(self.terminal, line.encode() + b"\r")
        os.read(self.terminal, 4096)

    def end(self) -> None:
        """It, and all that it has started, which is in its session."""
        _end(self.process)
        if self.terminal >= 0:
            os.close(self.terminal)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ask(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    finally:
        connection.close()


def _repeat(work: Callable[[], None], over: threading.Event) -> None:
    while not over.wait(PAUSE):
        with suppress(OSError, http.client.HTTPException):
            work()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def started(program: Program, state: str, environment: Environment, folder: Path) -> Iterator[Running]:
    """The program, ready, until the block ends. Raises TimeoutError."""
    redis = _start_redis(folder) if program.redis else None
    try:
        running = Running(program, state, environment, folder)
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.end()
    finally:
        if redis:
            _end(redis)


def _start_redis(folder: Path) -> subprocess.Popen[bytes]:
    """A broker of its own, on a socket in the folder; nothing is kept."""
    options = ("--port", "0", "--unixsocket", str(folder / "redis"), "--save", "", "--dir", str(folder))
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(
            ("redis-server", *options), executable=REDIS, stdout=log, stderr=log, start_new_session=True
        )
    end = time.monotonic() + READY
    while not (folder / "redis").exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)
    return process
