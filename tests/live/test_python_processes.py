"""`lastwords ps` on real processes: every Python is in it, with its version; fast; also for who may see little."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness import Target, running, wait_until
from interpreters import Interpreter as Python
from interpreters import find_interpreters
from lastwords.capture import procfs
from lastwords.capture.peers import list_pids
from lastwords.capture.python_processes import Found, find_python_processes
from needs import need
from nobody import NOBODY, as_nobody

WAITS = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()"


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Target]]:
    """One target of each interpreter, by its name."""
    with ExitStack() as stack:
        started = {one.name: stack.enter_context(running([one.path, "-c", WAITS])) for one in find_interpreters()}
        for target in started.values():
            target.wait_for("ready")
        yield started


@pytest.fixture(scope="module")
def found(targets: dict[str, Target]) -> Found:
    assert targets
    return find_python_processes()


def test_every_python_is_listed_with_its_version(interpreter: Python, targets: dict[str, Target], found: Found) -> None:
    target = targets[interpreter.name]
    listed = {one.pid: one for one in found.processes}[target.pid]
    assert listed.implementation == "CPython"
    assert listed.version is not None
    assert listed.version.startswith(".".join(map(str, interpreter.version)))
    assert listed.argv == [str(interpreter.path), "-c", WAITS]
    assert (listed.threads, listed.may_attach, listed.obstacle) == (1, True, None)
    assert listed.executable == os.path.realpath(interpreter.path)


def test_other_programs_are_not_listed() -> None:
    sleep = shutil.which("sleep")
    need(sleep, "sleep")
    with running([str(sleep), "1000"]) as target:
        wait_until(lambda: procfs.read_link(target.pid, "exe") == os.path.realpath(str(sleep)), "it is executed")
        assert target.pid not in {one.pid for one in find_python_processes().processes}


def test_what_is_called_otherwise_is_python_all_the_same(tmp_path: Path) -> None:
    copy = tmp_path / "server"
    shutil.copy(os.path.realpath(sys.executable), copy)
    with running([copy, "-c", WAITS], env={"PYTHONHOME": sys.base_prefix}) as target:
        target.wait_for("ready")
        assert target.pid in {one.pid for one in find_python_processes().processes}
        copy.unlink()
        assert target.pid in {one.pid for one in find_python_processes().processes}


def test_who_may_see_little_is_told_so(targets: dict[str, Target]) -> None:
    """Another user's Pythons are listed by their names, and are said not to be readable."""
    listed, unseen = as_nobody(_list)
    assert unseen > 0
    seen = [listed[str(one.pid)] for one in targets.values()]
    obstacle = f"it belongs to user 0, lastwords runs as user {NOBODY} without CAP_SYS_PTRACE"
    assert {tuple(one) for one in seen} == {(None, None, False, obstacle)}


def _list() -> tuple[dict[str, list[object]], int]:
    found = find_python_processes()
    listed: dict[str, list[object]] = {
        str(one.pid): [one.implementation, one.version, one.may_attach, one.obstacle] for one in found.processes
    }
    return listed, found.unseen


def test_it_is_fast(targets: dict[str, Target]) -> None:
    """The goal is 0.3 s for 200 processes; the bound is for a machine under load, and for more processes."""
    assert targets
    times = []
    for _ in range(3):
        start = time.perf_counter()
        find_python_processes()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.3 + len(list_pids()) * 0.003
