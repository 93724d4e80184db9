"""The process in which generated programs run: started, given one program after another, ended."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from types import TracebackType
from typing import Any, Self

from deep.programs import Rendered
from harness import PATIENCE, TARGETS, clean_environment
from interpreters import Interpreter

PROGRAMS_PER_PROCESS = 40  # some leave a sleeping thread or a sub-interpreter behind


class ProgramFailedError(Exception):
    """The program itself went wrong, not the reading of it."""


class Host:
    """Runs programs under one interpreter. A context manager: the process ends with it."""

    def __init__(self, python: Interpreter) -> None:
        self.python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._output = bytearray()
        self._left = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Of the process that runs the program now."""
        assert self._process is not None
        return self._process.pid

    def stand(self, program: Rendered) -> dict[str, Any]:
        """Run the program to where it stands still; what it says of itself. Raises ProgramFailedError."""
        if self._left == 0:
            self.end()
            self._start()
        self._left -= 1
        self._say(json.dumps({"source": program.source, "file": program.file}))
        facts: dict[str, Any] = json.loads(self._hear("facts "))
        if facts["error"]:
            self.end()
            raise ProgramFailedError(facts["error"])
        if facts["inside"]:
            self._left = 0  # before 3.12 what is left of a sub-interpreter keeps the ident of a thread that is gone
        return facts

    def go_on(self) -> None:
        """Let the program run to its end. If it fails there, the next one gets another process."""
        self._say("next")
        if json.loads(self._hear("over ")) is not None:
            self.end()

    def end(self) -> None:
        """End the process, if there is one."""
        self._left = 0
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            self._output.clear()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [self.python.path, "-B", TARGETS / "deep_host.py"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment({"LC_ALL": "C.UTF-8"}),
            start_new_session=True,
        )  # fmt: skip
        self._left = PROGRAMS_PER_PROCESS

    def _say(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def _hear(self, beginning: str) -> str:
        """What follows `beginning` in the next line."""
        assert self._process is not None and self._process.stdout is not None
        deadline = time.monotonic() + PATIENCE
        stream = self._process.stdout.fileno()
        while b"\n" not in self._output:
            ready, _, _ = select.select([stream], [], [], max(deadline - time.monotonic(), 0))
            chunk = os.read(stream, 1 << 20) if ready else b""
            if not chunk:
                self.end()
                raise ProgramFailedError(f"{self.python.name} said nothing that begins with {beginning!r}")
            self._output += chunk
        line, _, rest = bytes(self._output).partition(b"\n")
        self._output = bytearray(rest)
        text = line.decode("utf-8", "backslashreplace")
        if not text.startswith(beginning):
            self.end()
            raise ProgramFailedError(f"{self.python.name} said {text[:2000]!r}")
        return text.removeprefix(beginning)


def can_hold_interpreters(python: Interpreter) -> frozenset[str]:
    """The capabilities that programs are rendered for."""
    return frozenset({"interpreters"}) if python.version >= (3, 8) else frozenset()
