"""In a terminal, a program under `lastwords` has the terminal as without us: job control, echo, size, passwords."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from harness import TARGETS, wait_until
from interpreters import Interpreter
from transparency import MODES, command_line, default_signals

TICKS = TARGETS / "ticks.py"
PROMPT = "a shell> "
WAYS = ("bare", *MODES)


@contextmanager
def terminal(command: list[str]) -> Iterator[pexpect.spawn[str]]:
    """A terminal of its own that runs `command`; hung up, and everything of its session killed, at the end."""
    there = pexpect.spawn(
        command[0], command[1:], encoding="utf-8", timeout=20, dimensions=(31, 97), echo=False,
        env={**os.environ, "PS1": PROMPT, "TERM": "dumb"}, preexec_fn=default_signals,
    )  # fmt: skip
    there.delaybeforesend = None
    try:
        yield there
    finally:
        for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:  # noqa: PTH208
            try:
                if os.getsid(pid) == there.pid and pid != there.pid:
                    os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        there.close(force=True)


@contextmanager
def shell() -> Iterator[pexpect.spawn[str]]:
    with terminal(["bash", "--norc", "--noprofile", "-i"]) as there:
        there.expect_exact(PROMPT)
        yield there


def said_until(there: pexpect.spawn[str], text: str) -> str:
    there.expect_exact(text)
    return str(there.before)


def matched(there: pexpect.spawn[str], pattern: str) -> str:
    there.expect(pattern)
    assert isinstance(there.match, re.Match)
    return str(there.match.group(1))


@pytest.mark.interpreters(minors=("2.7", "3.12"))
@pytest.mark.parametrize("mode", WAYS)
def test_job_control(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    """Ctrl-Z, jobs, fg, bg, Ctrl-C as a user types them; each SIGCONT comes once."""
    with shell() as there:
        there.sendline(shlex.join(command_line(mode, [interpreter.path, TICKS], tmp_path)))
        assert matched(there, r"ready \d+, ([^\r]*)\r") == "a terminal [True, True, True], of size (31, 97), ours True"
        for resume in ("fg", "bg", "fg"):
            there.expect_exact("tick")
            there.send("\x1a")
            there.expect(r"\[1\]\+ +Stopped  ")
            there.expect_exact(PROMPT)
            there.sendline("sleep 0.3; jobs -s | wc -l")
            assert said_until(there, PROMPT).strip() == "1"
            there.sendline(resume)
            said_until(there, "continued")
            assert "continued" not in said_until(there, "tick")
            if resume == "bg":
                there.sendline("fg")
                wait_until(lambda: os.tcgetpgrp(there.child_fd) != there.pid, "the program has the terminal", 20)
        there.expect_exact("tick")
        there.send("\x03")
        said = said_until(there, PROMPT)
        assert "continued" not in said
        assert said.count("KeyboardInterrupt") == 1
        there.sendline("echo status $?; stty size")
        assert matched(there, r"status (\d+)\r\n31 97\r\n") in ("130", "1")


@pytest.mark.interpreters(minors=("3.12",))
@pytest.mark.parametrize("mode", WAYS)
def test_the_terminals_signals_come_once(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    r"""Ctrl-C, Ctrl-\, a new size, a lost line: what the program counts."""
    code = (
        "import os, signal, sys, time\ncount = {}\n"
        "for n in (1, 2, 3, 28): signal.signal(n, lambda n, f: os.write(1, b'<%d>' % n))\n"
        f"def gone(n, f): open({str(tmp_path / 'gone')!r}, 'a').write('gone ')\nsignal.signal(1, gone)\n"
        "os.write(1, b'ready')\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.05)\n"
    )
    end = tmp_path / "end"
    with terminal(command_line(mode, [interpreter.path, "-c", code, end], tmp_path)) as there:
        said_until(there, "ready")
        for key, number in (("\x03", 2), ("\x1c", 3)):
            there.send(key)
            said_until(there, f"<{number}>")
        there.setwinsize(40, 100)
        said_until(there, "<28>")
        with pytest.raises(pexpect.TIMEOUT):
            there.expect("<", timeout=0.3)
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, there.child_fd)  # the terminal's other side goes away
        os.close(nowhere)
        wait_until((tmp_path / "gone").exists, "the program has been told that the terminal is gone", 20)
        end.write_text("end")
        wait_until(lambda: not there.isalive(), "it has ended", 20)
    assert (tmp_path / "gone").read_text() == "gone "


@pytest.mark.interpreters(minors=("2.7", "3.12"))
@pytest.mark.parametrize("mode", WAYS)
def test_a_dialogue(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    """The interactive interpreter, a password that is not shown, and the terminal's settings afterwards."""
    with terminal(command_line(mode, [interpreter.path, "-i", "-E"], tmp_path)) as there:
        there.setecho(True)
        said_until(there, ">>> ")
        before = termios.tcgetattr(there.child_fd)
        there.sendline("6 * 7")
        assert said_until(there, ">>> ").replace("\x1b[?2004l", "").split()[-1] == "42"
        there.sendline("import getpass; print(len(getpass.getpass('Password? ')))")
        said_until(there, "\nPassword? ")  # the first is the echo
        there.sendline("secret")
        answered = said_until(there, ">>> ")
        assert "secret" not in answered
        assert "6" in answered
        assert termios.tcgetattr(there.child_fd) == before
        there.send("\x03")
        assert said_until(there, ">>> ").count("KeyboardInterrupt") == 1
        there.send("\x04")
        there.expect(pexpect.EOF)
        there.close()
        assert (there.exitstatus, there.signalstatus) == (0, None)


@pytest.mark.interpreters(minors=("3.12",))
@pytest.mark.parametrize("mode", WAYS)
def test_a_background_job_that_reads_is_stopped(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    """SIGTTIN, as for any job in the background; after fg it reads."""
    with shell() as there:
        code = "import sys; print('read', sys.stdin.readline())"
        there.sendline(shlex.join(command_line(mode, [interpreter.path, "-c", code], tmp_path)) + " &")
        there.expect_exact(PROMPT)
        for _ in range(100):
            there.sendline("jobs -s | wc -l; sleep 0.1")
            stopped = matched(there, r"(\d)\r\n") == "1"
            there.expect_exact(PROMPT)
            if stopped:
                break
        assert stopped
        there.sendline("fg")
        there.expect_exact(sys.executable if mode != "bare" else str(interpreter.path))
        there.sendline("a line")
        there.expect_exact("read a line")
