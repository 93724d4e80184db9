"""`lastwords attach --tree`: a server with its workers, at nearly one moment, as one report."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import lastwords
from environments import EnvironmentFailedError, environment_for
from harness import Target, name_values, running, wait_until, wait_until_at_rest
from interpreters import Interpreter
from lastwords.capture.kernel.family import Member, list_family
from lastwords.capture.kernel.peers import format_argv
from lastwords.capture.stop import live
from lastwords.capture.stop.holding import NotHeldError
from lastwords.cli import main
from lastwords.examine import tree
from lastwords.model import Process, Report, Thread
from lastwords.report.text import format_report
from needs import lack, need
from schema import check_report

Start = Callable[..., Target]
Output = pytest.CaptureFixture[str]
GOLDEN = Path(__file__).parents[1] / "golden"
WORKERS = 3
# What a process does when Python has finished in it: exit(3) calls it last.
FINISHED = (
    "import ctypes, os; libc = ctypes.CDLL(None); libc.__cxa_atexit(libc.pause, None, None); os.write(1, b'ready\\n')"
)


def of_process(report: Report, process: Process) -> list[Thread]:
    moments = {moment.id for moment in report.moments if moment.process == process.id}
    return [thread for thread in report.threads if thread.moment in moments]


def children(report: Report, process: Process) -> list[Process]:
    below = {edge.origin for edge in report.edges if edge.kind == "parent" and edge.to == process.id}
    return [one for one in report.processes if one.id in below]


def functions(report: Report, process: Process) -> list[str | None]:
    (thread,) = [one for one in of_process(report, process) if one.is_main]
    return [frame.function for frame in thread.stack if frame.kind == "python"]


def text(report: Report) -> str:
    return " ".join(" ".join(format_report(report)).split())


def wait_until_all_wait(target: Target) -> None:
    """Until nobody of a family that has come together runs any more."""
    wait_until_at_rest(*(one.pid for one in list_family(target.pid)))


@pytest.fixture
def family(interpreter: Interpreter, start_target: Start) -> Target:
    target = start_target(interpreter, "has_workers.py", "by_hand", str(WORKERS))
    wait_until(lambda: target.stdout.text.count("worker ") == WORKERS, "all workers are there")
    wait_until_all_wait(target)
    return target


def test_a_parent_its_workers_and_a_program(family: Target, capfd: Output, tmp_path: Path) -> None:
    pids = [int(pid) for pid in re.findall(r"worker (\d+)", family.stdout.text)]
    (sleeper,) = map(int, re.findall(r"sleeper (\d+)", family.stdout.text))
    before = {pid: psutil.Process(pid).num_fds() for pid in (family.pid, *pids)}
    begun = time.monotonic()
    assert main(["attach", "--tree", str(family.pid), "--json", str(tmp_path / "report.json"), "--text", "-"]) == 0
    took = (time.monotonic() - begun) * 1000
    shown = capfd.readouterr()
    assert shown.err == ""
    report = lastwords.load(tmp_path / "report.json")
    check_report(json.loads((tmp_path / "report.json").read_text()))

    parent, *others = report.processes
    assert (parent.pid, {one.pid for one in others}) == (family.pid, {*pids, sleeper})
    assert children(report, parent) == others
    ids = [[one.id for one in report.processes], [one.id for one in report.moments], [one.id for one in report.threads]]
    assert len({one for several in ids for one in several}) == 3 * (WORKERS + 2)
    workers = [one for one in others if one.pid != sleeper]
    for worker in workers:
        assert functions(report, worker) == ["work", "by_hand", "<module>"]
        (descriptor,) = [one for one in worker.fds if one.peer == parent.id]  # the pipe that it reads
        (thread,) = of_process(report, worker)
        assert thread.waits_for is not None
        assert thread.waits_for.detail is not None
        assert thread.waits_for.detail.startswith(f"reads from fd {descriptor.fd}, a pipe")
        assert (thread.waits_for.kind, thread.waits_for.target) == ("io", parent.id)

    (waiting,) = of_process(report, parent)
    first = next(one for one in others if one.pid == pids[0]) if pids[0] == min(pids) else None
    assert waiting.waits_for is not None
    assert waiting.waits_for.kind == "process"
    assert waiting.waits_for.target in {one.id for one in workers}
    assert first is None or waiting.waits_for.target == first.id
    waits = {(edge.origin, edge.to) for edge in report.edges if edge.kind == "waits"}
    assert (waiting.id, waiting.waits_for.target) in waits

    (stranger,) = [one for one in others if one.pid == sleeper]
    (resting,) = of_process(report, stranger)
    assert (stranger.argv, stranger.python, resting.stack) == (["sleep", "1000"], None, [])
    assert resting.waits_for is not None
    assert resting.waits_for.call in ("nanosleep", "clock_nanosleep")

    pauses = [moment.capture.pause_ms for moment in report.moments if moment.process != stranger.id]
    assert all(pauses)
    assert report.window_ms is not None
    assert sum(filter(None, pauses)) < report.window_ms < took
    assert f"{WORKERS} of {WORKERS + 2} processes, all like this" in " ".join(shown.out.split())
    assert shown.out.count("in work\n") == 1
    assert f"{WORKERS + 2} processes, {WORKERS + 1} of them Python, read within {report.window_ms:.1f} ms" in shown.out
    assert {pid: psutil.Process(pid).num_fds() for pid in before} == before


@pytest.mark.interpreters("symbols", minors=("3.11",))
def test_without_a_pause(family: Target) -> None:
    report = lastwords.attach(family.pid, tree=True, pause=False)
    assert [functions(report, one)[0] for one in report.processes if one.python] == ["by_hand", *WORKERS * ["work"]]
    assert {moment.capture.pause_ms for moment in report.moments} == {None}
    assert report.window_ms is not None


@pytest.mark.interpreters("ctypes", minors=("3.6", "3.11", "3.14"))
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(interpreter: Interpreter, start_target: Start, method: str) -> None:
    target = start_target(interpreter, "has_workers.py", method, str(WORKERS))
    wait_until(lambda: target.stdout.text.count("worker ") == WORKERS, "all workers are there")
    wait_until_all_wait(target)
    report = lastwords.attach(target.pid, tree=True)
    workers = [one for one in report.processes if "serve" in functions(report, one)]
    assert len(workers) == WORKERS
    assert {functions(report, one)[0] for one in workers} <= {"__enter__", "_recv"}
    assert all(one.python and (one.python.version or "").startswith(interpreter.minor) for one in report.processes)
    (main_thread,) = [one for one in of_process(report, report.processes[0]) if one.is_main]
    assert main_thread.waits_for is not None
    assert main_thread.waits_for.kind == "process"
    assert main_thread.waits_for.target in {one.id for one in workers}
    assert "2 of" in text(report)
    assert report.problems == []


@contextmanager
def installed(interpreter: Interpreter, *words: str, package: str, cwd: Path) -> Iterator[Target]:
    """A module of a package from PyPI, run as a program."""
    try:
        environment = environment_for(interpreter, package)
    except EnvironmentFailedError as error:
        lack(f"{package} for {interpreter.name}: {error}")
    with running([environment.python, "-m", *words], env=environment.env, cwd=cwd) as target:
        yield target


@pytest.mark.interpreters("symbols", minors=("3.11",))
def test_gunicorn(interpreter: Interpreter, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def app(environ, start): start('200 OK', []); return [b'done']\n")
    words = ["gunicorn", "app:app", "-w", str(WORKERS), "-b", "127.0.0.1:0"]
    words += ["--timeout", "100000"]  # none wakes up now and then to say that it is there
    with installed(interpreter, *words, package="gunicorn", cwd=tmp_path) as target:
        wait_until(lambda: target.stderr.text.count("Booting worker") == WORKERS, "all workers are there")
        wait_until_all_wait(target)
        report = lastwords.attach(target.pid, tree=True)
        said = text(report)
    master, *workers = report.processes
    assert "gunicorn" in master.libraries
    assert len(workers) == WORKERS
    assert children(report, master) == workers
    assert "arbiter.py" in str([frame.file for frame in of_process(report, master)[0].stack])
    assert all("run_for_one" in functions(report, worker) for worker in workers)
    assert f"{WORKERS} of {WORKERS + 1} processes, all like this" in said


@pytest.mark.interpreters("symbols", minors=("3.11",))
def test_pytest_xdist(interpreter: Interpreter, tmp_path: Path) -> None:
    tests = tmp_path / "test_waits.py"
    tests.write_text(
        "import os, pytest, threading\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_waits(n):\n"
        "    open(f'waits-{n}', 'w').close()\n"
        "    threading.Event().wait()\n"
    )
    with installed(interpreter, "pytest", "-n", "2", tests.name, package="pytest-xdist", cwd=tmp_path) as target:
        wait_until(lambda: len(list(tmp_path.glob("waits-*"))) == 2, "both tests wait")
        wait_until_all_wait(target)
        report = lastwords.attach(target.pid, tree=True)
        said = text(report)
    controller, *workers = report.processes
    assert [sum(one == "test_waits" for one in functions(report, worker)) for worker in workers] == [1, 1]
    assert "test_waits" not in functions(report, controller)
    (waiting,) = [one for one in of_process(report, workers[0]) if one.is_main]
    assert waiting.waits_for is not None
    assert waiting.waits_for.kind == "event"
    assert "2 of 3 processes, all like this" in said


@pytest.mark.interpreters("symbols", minors=("3.11",))
def test_where_none_can_be_stopped(family: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*, interrupt: bool, vectors: bool) -> None:
        raise NotHeldError("no process can be started")

    monkeypatch.setattr(live, "Holder", fail)
    report = lastwords.attach(family.pid, tree=True)
    read = [moment.capture for moment, process in zip(report.moments, report.processes, strict=True) if process.python]
    assert len(read) == WORKERS + 1
    assert all(one.problems[0] == "it could not be stopped: no process can be started" for one in read)
    assert {functions(report, one)[0] for one in report.processes if one.python} == {"by_hand", "work"}


@pytest.mark.interpreters("symbols", minors=("3.11",))
def test_who_comes_and_goes_is_said(family: Target, monkeypatch: pytest.MonkeyPatch, capfd: Output) -> None:
    """The second look at the family is another one than the first."""
    looks = []

    def look(root: int, *proc: Path) -> list[Member]:
        members = list_family(root, *proc)
        looks.append(members)
        return members if len(looks) == 1 else [members[0], *members[2:], Member(1, root, "S", 5, ("make", "x"))]

    monkeypatch.setattr(tree, "list_family", look)
    assert main(["attach", "--tree", str(family.pid), "--json", "-"]) == 5
    report = lastwords.model.from_json(capfd.readouterr().out.encode())
    gone = looks[0][1]
    ended, came = report.problems
    name = format_argv(list(gone.argv))
    assert ended == f"process {gone.pid} ({name}) ended, or lost its parent, while the tree was read"
    assert came == "process 1 (make x) was started while the tree was read, and is not in the report"
    assert len(report.processes) == WORKERS + 2


def test_a_child_that_ends_at_once_and_one_that_cannot_be_read(capfd: Output) -> None:
    """A zombie is listed; one that has finished Python is a problem."""
    program = (
        "import subprocess, sys, time\n"
        "ended = subprocess.Popen(['true'])\n"
        f"other = subprocess.Popen([sys.executable, '-c', {FINISHED!r}], stdout=subprocess.PIPE)\n"
        "other.stdout.readline(); print('ready', flush=True); sys.stdin.read()\n"
    )
    with running([sys.executable, "-c", program]) as target:
        target.wait_for()
        family = list_family(target.pid)
        finished = next(one.pid for one in family if FINISHED in one.argv)
        ended = next(one.pid for one in family if one.argv == ("true",))
        wait_until(lambda: psutil.Process(ended).status() == "zombie", "it is a zombie")
        wait_until_at_rest(finished)
        assert main(["attach", "--tree", str(target.pid)]) == 5
    shown = capfd.readouterr()
    assert shown.err == ""
    said = " ".join(shown.out.split())
    assert f"{ended} true" in said
    assert "no Python thread, zombie" in said
    assert f"Process {finished} has no Python interpreter: it is just starting, or has finished Python" in said


def compare(name: str, shown: str, **words: object) -> None:
    shown = name_values(shown, **words)
    golden = GOLDEN / f"attach_tree_{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(shown)
    assert shown == golden.read_text()


def test_no_such_process(capfd: Output) -> None:
    pid = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
    assert main(["attach", "--tree", str(pid)]) == 3
    compare("no_process", capfd.readouterr().err, pid=pid)


def test_no_python_in_it(capfd: Output) -> None:
    shell = shutil.which("sh")
    need(shell, "sh")
    with running([shell or "", "-c", "sleep 1000 & echo ready; wait"]) as target:
        target.wait_for()
        wait_until_all_wait(target)
        assert main(["attach", "--tree", str(target.pid)]) == 3
        compare("no_python", capfd.readouterr().err, pid=target.pid)
        (child,) = list_family(target.pid)[1:]
        assert main(["attach", "--tree", str(child.pid)]) == 3
        compare("no_python_alone", capfd.readouterr().err, pid=child.pid)


def test_a_shell_above_it(capfd: Output) -> None:
    """The one that is named need be no Python."""
    program = "import sys; print('ready', flush=True); sys.stdin.read()"
    with running(["sh", "-c", f'{sys.executable} -c "{program}"; true']) as target:
        target.wait_for()
        wait_until_all_wait(target)
        assert main(["attach", "--tree", str(target.pid)]) == 0
    shown = capfd.readouterr()
    assert "\n2 processes, 1 of them Python, read within " in shown.out
    assert "waits for the end of any child" in " ".join(shown.out.split())
