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
from interpreters import find_interpreters, find_pypy
from lastwords.capture import procfs
from lastwords.capture.kernel.peers import list_pids
from lastwords.capture.python_processes import find_python_processes
from needs import need
from nobody import NOBODY, as_nobody

WAITS = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()"


@pytest.fixture(scope="module")
def targets() -> Iterator[list[tuple[Python, Target]]]:
    """One target of each interpreter: shared, static, stripped, free-threaded."""
    with ExitStack() as stack:
        pythons = find_interpreters(extra=True)
        started = [(one, stack.enter_context(running([one.path, "-c", WAITS]))) for one in pythons]
        for _, target in started:
            target.wait_for("ready")
        yield started


def test_every_python_is_listed_with_its_version(targets: list[tuple[Python, Target]]) -> None:
    listed = {one.pid: one for one in find_python_processes().processes}
    assert len(targets) > 0
    for python, target in targets:
        one = listed[target.pid]
        assert one.implementation == "CPython", python.name
        assert (one.version or "").startswith(".".join(map(str, python.version))), (python.name, one.version)
        assert one.argv == [str(python.path), "-c", WAITS]
        assert (one.threads, one.executable) == (1, os.path.realpath(python.path))
        assert one.may_attach == (not python.has("free_threaded")), (python.name, one.obstacle)
        assert one.obstacle is None or "free-threaded" in one.obstacle


def test_pypy_is_listed_as_what_it_is() -> None:
    pypy = find_pypy()
    need(pypy, "PyPy (make pythons)")
    with running([str(pypy), "-c", WAITS]) as target:
        target.wait_for("ready")
        one = next(one for one in find_python_processes().processes if one.pid == target.pid)
    assert (one.implementation, one.version, one.may_attach) == ("PyPy", None, False)
    assert one.obstacle == "it is PyPy; lastwords reads CPython with a GIL alone"


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


def test_who_may_see_little_is_told_so(targets: list[tuple[Python, Target]]) -> None:
    """Another user's Pythons are listed by their names, and are said not to be readable."""
    listed, unseen = as_nobody(_list)
    assert unseen > 0
    seen = [listed[str(one.pid)] for _, one in targets]
    obstacle = f"it belongs to user 0, lastwords runs as user {NOBODY} without CAP_SYS_PTRACE"
    assert {tuple(one) for one in seen} == {(None, None, False, obstacle)}


def _list() -> tuple[dict[str, list[object]], int]:
    found = find_python_processes()
    listed: dict[str, list[object]] = {
        str(one.pid): [one.implementation, one.version, one.may_attach, one.obstacle] for one in found.processes
    }
    return listed, found.unseen


def test_it_is_fast(targets: list[tuple[Python, Target]]) -> None:
    """The goal is 0.3 s for 200 processes; the bound, of processor time, is for more of these."""
    assert targets
    times = []
    for _ in range(3):
        start = time.process_time()
        find_python_processes()
        times.append(time.process_time() - start)
    assert min(times) < 0.3 + len(list_pids()) * 0.003
