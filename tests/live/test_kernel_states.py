"""Processes in states that nobody sees every day: frozen, with the memory of another, forking without end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import lastwords
from harness import TARGETS, Target, running, wait_until
from interpreters import Interpreter
from lastwords.capture.python_processes import find_python_processes
from lastwords.cli import main
from lastwords.frames import python_frames
from lastwords.model import Frame
from stopping import calls, states

Start = Callable[..., Target]
GOLDEN = Path(__file__).parents[1] / "golden"
CLONE_VM = """
import ctypes
libc = ctypes.CDLL(None)
stack = ctypes.create_string_buffer(1 << 16)
top = ctypes.c_void_p((ctypes.addressof(stack) + (1 << 16)) & -64)
print("ready", libc.clone(libc.sleep, top, 0x100 | 17, ctypes.c_void_p(600)), flush=True)
input()
"""
# The first version of control groups shows what is frozen in state D, and nothing can interrupt it.
FREEZER = Path("/sys/fs/cgroup/freezer")


def test_one_with_the_memory_of_another(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its parent's: it is shown as one that starts, and not read as Python, alone and in a tree."""
    with running([sys.executable, "-c", CLONE_VM]) as target:
        child = int(target.wait_for("ready").split()[1])
        told = (GOLDEN / "attach_vfork.txt").read_text().replace("<pid>", str(child))
        told = told.replace("<parent>", str(target.pid))
        assert main(["attach", str(child)]) == 3
        assert capfd.readouterr() == ("", f"lastwords: {told}")
        assert main(["snapshot", str(child), "-o", str(tmp_path / "x")]) == 3
        assert capfd.readouterr() == ("", f"lastwords: {told}")
        assert not (tmp_path / "x").exists()
        listed = {one.pid: one for one in find_python_processes().processes}
        fact = f"it has the memory of its parent, process {target.pid}, until it executes a program (vfork)"
        one = listed[child]
        assert (one.may_attach, one.obstacle, one.mend) == (False, fact, f"lastwords attach {target.pid}")
        assert listed[target.pid].may_attach
        report = lastwords.attach(target.pid, tree=True)
        assert {process.pid for process in report.processes} == {target.pid, child}
        assert report.problems == [told.partition("\n")[0].rstrip(".")]
        assert {thread.moment for thread in report.threads if thread.interpreter is not None} == {report.moments[0].id}


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process stands in a control group that is frozen, as by `docker pause`. Skips where none can be made."""
    group = FREEZER / f"lastwords-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group of our own can be made: {error}")
    try:
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        wait_until(lambda: (group / "freezer.state").read_text() == "FROZEN\n", "it is frozen")
        yield
    finally:
        (group / "freezer.state").write_text("THAWED")
        (FREEZER / "cgroup.procs").write_text(str(pid))
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "it is out of the group")
        group.rmdir()


def test_threads_that_nothing_can_interrupt(running_python: Interpreter, start_target: Start) -> None:
    """They are waited for a little, all of them together; said to be what they are; and read all the same."""
    target = start_target(running_python, "attach_deadlock.py")
    wait_until(lambda: states(target.pid) == {"S"}, "all wait")
    before = lastwords.attach(target.pid)
    with frozen(target.pid):
        assert states(target.pid) == {"D"}
        report = lastwords.attach(target.pid)
        assert {thread.state for thread in report.threads} == {"in an uninterruptible sleep"}
        halt = report.processes[0].halt
        assert halt is not None and halt.how == "frozen" and str(halt.file).endswith("/freezer.state")
        assert [names(thread.stack) for thread in report.threads] == [names(thread.stack) for thread in before.threads]
        assert report.moments[0].capture.problems == []
    wait_until(lambda: "D" not in states(target.pid), "it goes on")


def names(stack: list[Frame]) -> list[str | None]:
    return [frame.function for frame in python_frames(stack)]


def test_where_every_thread_is_left_alone_none_is_said_to_be_stopped() -> None:
    """An interruption would end epoll_wait."""
    with running([sys.executable, "-c", "import select; print('ready', flush=True); select.epoll().poll()"]) as target:
        target.wait_for("ready")
        wait_until(lambda: calls(target.pid) == {"epoll_wait"}, "it waits")
        capture = lastwords.attach(target.pid).moments[0].capture
    assert capture.method == "no thread was stopped, process_vm_readv"
    assert capture.problems == []


def test_one_that_forks_again_and_again(running_python: Interpreter, tmp_path: Path) -> None:
    """Neither it nor a child of it notices, however often it is looked at; nothing is said that makes no sense."""
    enough = tmp_path / "enough"
    with running([running_python.path, TARGETS / "survives.py", "60", enough]) as target:
        target.wait_for("pid ")
        for _ in range(15):
            assert lastwords.attach(target.pid).threads
        assert target.process.poll() is None
        enough.touch()
        assert target.wait() == 7, target.describe()
