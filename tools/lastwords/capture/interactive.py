"""A gdb for people: pexpect starts it, waits until it holds its target, and hands the terminal over.

gdb lives on a pseudo-terminal of its own, so that it lets its process go whatever ends us: the terminal's other end is
closed then, gdb gets SIGHUP, detaches and ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

import msgspec
import pexpect

from lastwords.capture.breakpoints import remove_breakpoints

END_SECONDS = 10.0  # to let the process go, each time it is told to
START_SECONDS = 120.0  # to read the symbols of a large program on a machine under load
READY = "lastwords-ready"  # between two record separators


Gdb: TypeAlias = "pexpect.spawn[Any]"


class Session(msgspec.Struct, frozen=True):
    """What gdb is started with. `pid`: the process that it attaches to, None for a core."""

    path: str
    arguments: list[str]
    environ: dict[str, str]
    pid: int | None = None


class NotHeldError(Exception):
    """gdb is there, but not its process; the message is gdb's."""


def make_arguments(script: str, program: str | None, opening: str) -> list[str]:
    """gdb's command line: the user's settings, our commands, the one that opens the target.

    It asks nothing before the terminal is the user's: neither whether to go on to the next page, nor for debuginfod.
    """
    commands = [
        f"source {script}",
        "python lw_pages = 'on' if gdb.parameter('pagination') else 'off'",
        "set pagination off",
        opening,
        "python gdb.execute('set pagination ' + lw_pages)",
    ]
    words = [word for command in commands for word in ("-ex", command)]
    return ["-q", "-iex", "set debuginfod enabled off", *(["-se", program] if program else []), *words]


def make_environment(environ: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Without what steers the program's Python: gdb's own would act on it."""
    return {name: value for name, value in environ.items() if not name.startswith("PYTHON")} | dict(ours)


def run_interactively(session: Session, greeting: str) -> int:
    """Until the user leaves gdb. Its exit code. Raises NotHeldError."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _run_plainly(session)
    with _terminated_by_exceptions():
        words = [*session.arguments, "-ex", rf"echo \036{READY}\036\n"]
        gdb = pexpect.spawn(session.path, words, env=session.environ, dimensions=_size(), timeout=START_SECONDS)
        try:
            _await_target(gdb, session)
            sys.stdout.write(greeting)
            sys.stdout.flush()
            with _window_followed(gdb):
                gdb.interact(escape_character=None)
        finally:
            _end(gdb, session)
    return gdb.exitstatus if gdb.exitstatus is not None else 128 + (gdb.signalstatus or 0)


def _run_plainly(session: Session) -> int:
    """No terminal, but commands from a pipe, say."""
    before = signal.signal(signal.SIGINT, lambda *_: None)  # it is gdb's; ignored, it would be so in gdb, too
    try:
        return subprocess.run([session.path, *session.arguments], env=session.environ, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def _await_target(gdb: Gdb, session: Session) -> None:
    found = gdb.expect_list([re.compile(rf"\x1e{READY}\x1e\r\n".encode()), pexpect.EOF, pexpect.TIMEOUT])
    said: Any = gdb.before
    lines = said.decode(errors="backslashreplace").splitlines() if isinstance(said, bytes) else []
    last = " / ".join([line.strip() for line in lines if line.strip()][-2:]) or "nothing"
    if found:
        raise NotHeldError(f"gdb {'ended' if found == 1 else 'was not ready'}; it said: {last}")
    if session.pid is not None and not _is_traced_by(session.pid, gdb.pid):
        raise NotHeldError(last)


def _is_traced_by(pid: int, tracer: int | None) -> bool:
    try:
        with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
            return f"TracerPid:\t{tracer}\n" in file.read()
    except OSError:
        return False


def _size() -> tuple[int, int]:
    size = shutil.get_terminal_size()
    return size.lines, size.columns


@contextlib.contextmanager
def _window_followed(gdb: Gdb) -> Iterator[None]:
    """gdb's terminal has the size of ours, also when that changes."""
    before = signal.signal(signal.SIGWINCH, lambda *_: gdb.setwinsize(*os.get_terminal_size()[::-1]))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextlib.contextmanager
def _terminated_by_exceptions() -> Iterator[None]:
    """TERM and HUP end us by an exception, so that the terminal is given back as it was."""

    def leave(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(gdb: Gdb, session: Session) -> None:
    """Whatever has happened, gdb ends, and its process runs on."""
    with contextlib.suppress(pexpect.ExceptionPexpect, OSError):
        gdb.close(force=False)  # HUP: it detaches
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + END_SECONDS
        while gdb.isalive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if gdb.isalive():
            gdb.kill(number)
    if gdb.isalive():
        gdb.wait()
    if gdb.signalstatus and session.pid is not None:  # it crashed
        remove_breakpoints(session.pid)
