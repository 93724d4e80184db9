"""A process whose main thread has ended before others (pthread_exit): it is shown by one that lives."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lastwords
from harness import PATIENCE, Target, wait_until
from interpreters import Interpreter
from lastwords.capture import procfs
from lastwords.capture.python_processes import find_python_processes
from lastwords.examine.core import read_core_report
from lastwords.model import Report
from stopping import states

Start = Callable[..., Target]
few = pytest.mark.interpreters(minors=("2.7", "3.6", "3.11", "3.15"))


@pytest.fixture
def target(interpreter: Interpreter, start_target: Start) -> Target:
    """It, when its main thread is a zombie, and the others sleep."""
    target = start_target(interpreter, "main_thread_ends.py")
    wait_until(lambda: procfs.read_status(target.pid).state == "Z", "the main thread has ended")
    wait_until(lambda: states(target.pid) == {"Z", "S"}, "the others wait")
    return target


@few
def test_the_others_are_read(target: Target, tmp_path: Path) -> None:
    check(lastwords.attach(target.pid), target)
    path = tmp_path / "snapshot"
    command = [sys.executable, "-m", "lastwords", "snapshot", str(target.pid), "-o", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert states(target.pid) == {"Z", "S"}
    check(read_core_report(path), target)
    target.send_line()
    assert target.wait() == 7


def check(report: Report, target: Target) -> None:
    """What is told of it, however it was read."""
    (process,), (moment,) = report.processes, report.moments
    assert (process.pid, process.id) == (target.pid, f"process-{target.pid}")
    assert process.argv[-1].endswith("main_thread_ends.py")
    assert moment.capture.problems == []
    tids = set(procfs.read_tasks(target.pid)) - {target.pid}
    assert {one.tid for one in report.threads if one.alive} == tids
    named = {one.name: one for one in report.threads}
    assert (named["MainThread"].alive, named["MainThread"].tid) == (False, None)
    wait = named["waiter"].waits_for
    assert wait is not None
    assert wait.kind == "lock"
    assert next(one.function for one in named["waiter"].stack if one.kind == "python") == "wait"
    assert any(one.kind == "native" for one in named["waiter"].stack)
    assert process.forked is False
    assert "fork-held-lock" not in {one.code for one in report.findings}


@pytest.mark.interpreters(minors=("3.11",))
def test_in_a_tree(target: Target) -> None:
    words = [sys.executable, "-m", "lastwords", "attach", "--tree", str(target.pid)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert f": pid {target.pid}, CPython" in " ".join(done.stdout.split())
    shown = " ".join(done.stdout.split())  # as the first line, until the lock has been waited for long enough, or below
    assert re.search(r"MainThread:? is not there any more: \S+:31 in <module>", shown)


@pytest.mark.interpreters(minors=("3.11",))
def test_doctor(target: Target) -> None:
    words = [sys.executable, "-m", "lastwords", "doctor", str(target.pid)]
    told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE).stdout
    assert re.search(rf"^ok +process +{target.pid} is ", told, flags=re.MULTILINE)
    assert re.search(r"^ok +attach +allowed", told, flags=re.MULTILINE), told


@pytest.mark.interpreters(minors=("3.11",))
def test_it_is_listed(target: Target) -> None:
    (listed,) = [one for one in find_python_processes().processes if one.pid == target.pid]
    assert (listed.implementation, listed.may_attach) == ("CPython", True)
    assert listed.executable == procfs.read_link(max(procfs.read_tasks(target.pid)), "exe")


@pytest.mark.interpreters(minors=("3.11",))
def test_its_files_are_packed(target: Target, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "lastwords", "snapshot", str(target.pid), "-o", str(tmp_path / "x"), "--bundle"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "not to be had" not in done.stderr
