"""Whether a process was forked, and which signals it handles: of our own children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lastwords.capture.kernel.standing import read_caught_signals, was_forked
from lastwords.capture.procfs import ProcessGoneError


def test_a_forked_child_and_one_that_executes_another_program() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert was_forked(pid)
        assert not was_forked(child.pid)
        child.communicate(b"\n")
    os.close(reader)
    os.close(writer)
    os.waitpid(pid, 0)
    with pytest.raises(ProcessGoneError):
        was_forked(pid)


def test_signals_that_are_caught() -> None:
    before = signal.signal(signal.SIGUSR2, lambda *_: None)
    try:
        assert "SIGUSR2" in read_caught_signals(os.getpid())
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert "SIGUSR2" not in read_caught_signals(os.getpid())


def test_real_time_signals_have_numbers(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\ta\nSigCgt:\t8000000000000002\n")
    assert read_caught_signals(7, tmp_path) == ["SIGINT", "SIGRTMAX"]
