"""`lastwords run`: every child of the program is watched, each with a record of its own; others are let go."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import TARGETS
from interpreters import Interpreter, find_interpreters
from lastwords.model import Exit
from watching import watch

NEWEST = find_interpreters()[-1].minor if find_interpreters() else ""


@pytest.mark.interpreters(minors=("2.7", "3.8", NEWEST))
def test_each_kind_of_child_is_watched(interpreter: Interpreter, tmp_path: Path) -> None:
    seen = watch([interpreter.path, TARGETS / "has_children.py"], tmp_path)
    pids = dict(line.split() for line in seen.stdout.splitlines())
    known = {process.pid: process for process in seen.report.processes}
    assert seen.code == 0
    assert int(pids.pop("sh")) not in known  # it executed something else than Python
    assert len(pids) == (9 if interpreter.minor == "2.7" else 11)
    for name, pid in pids.items():
        caught = seen.the(name)
        assert (name, caught.process, caught.how, caught.count) == (name, f"process-{pid}", "unraisable", 1)
        assert known[int(pid)].exit == Exit(code=3 if name == "fork" else 0)
        assert known[int(pid)].python is not None
        assert caught.stack


@pytest.mark.interpreters(minors=("2.7", NEWEST))
def test_children_are_let_go_when_asked(interpreter: Interpreter, tmp_path: Path) -> None:
    seen = watch([interpreter.path, TARGETS / "has_children.py"], tmp_path, "--no-children")
    pids = dict(line.split() for line in seen.stdout.splitlines())
    assert (seen.code, len(pids)) == (0, 10 if interpreter.minor == "2.7" else 12)
    assert seen.the("main").process == f"process-{pids['main']}"
    watched = [caught.process for caught in seen.report.exceptions]
    assert set(watched) == {f"process-{pids['main']}"}
