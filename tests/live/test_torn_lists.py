"""A list of threads that changes while it is read, as in a program that starts and ends them all the time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import lastwords
from harness import Target, wait_until_at_rest
from interpreters import Interpreter
from lastwords.capture.memory import ReadError
from lastwords.cpython import Interpreter as Opened
from lastwords.examine import recheck
from lastwords.examine.process import TRIES

Start = Callable[..., Target]
THREADS = 3


@pytest.mark.parametrize("torn", [1, TRIES - 1, TRIES])
def test_it_is_read_again(
    running_python: Interpreter, start_target: Start, monkeypatch: pytest.MonkeyPatch, torn: int
) -> None:
    """No error, and nothing is missing: not even where no try before the stop could read it."""
    target = start_target(running_python, "attach_deadlock.py")
    wait_until_at_rest(target.pid, threads=THREADS)
    read, tries = recheck._list, []

    def read_torn(interp: Opened) -> list[int]:
        tries.append(interp)
        if len(tries) <= torn:
            raise ReadError("8 bytes at 0x39 cannot be read: no memory there")
        return read(interp)

    monkeypatch.setattr(recheck, "_list", read_torn)
    report = lastwords.attach(target.pid)
    assert len(tries) > torn
    assert {thread.name for thread in report.threads} == {"MainThread", "worker-1", "napper"}
    assert [finding.code for finding in report.findings] == ["lock-cycle"]
    assert report.moments[0].capture.problems == []
