"""`lastwords attach` and `lastwords.attach`: a deadlock, on every interpreter, as a user sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import lastwords
from harness import PATIENCE, Target, wait_until, wait_until_at_rest
from interpreters import Interpreter
from lastwords.capture import procfs
from lastwords.model import Report, Thread
from schema import check_report

Start = Callable[..., Target]
PROGRAM = Path(__file__).parents[1] / "targets" / "attach_deadlock.py"
THREADS = 3


@pytest.fixture
def deadlocked(interpreter: Interpreter, start_target: Start) -> Target:
    """The target, when each of its threads sleeps in the kernel."""
    target = start_target(interpreter, PROGRAM.name)
    wait_until_at_rest(target.pid, threads=THREADS)
    return target


def thread_named(report: Report, name: str) -> Thread:
    return next(thread for thread in report.threads if thread.name == name)


def test_a_deadlock(deadlocked: Target, interpreter: Interpreter) -> None:
    report = lastwords.attach(deadlocked.pid, locals=True)
    main, worker, napper = (thread_named(report, name) for name in ("MainThread", "worker-1", "napper"))
    assert main.is_main
    assert (main.daemon, worker.daemon) == (False, True)
    assert {thread.tid for thread in report.threads} == set(procfs.read_tasks(deadlocked.pid))
    locks = {name: thread.holds[0] for name, thread in (("main", main), ("worker", worker)) if thread.holds}
    assert main.waits_for is not None
    assert worker.waits_for is not None
    assert (main.waits_for.kind, main.waits_for.target) == ("lock", locks["worker"])
    assert (worker.waits_for.kind, worker.waits_for.target) == ("lock", locks["main"])
    held = {(edge.origin, edge.to): edge.certainty for edge in report.edges if edge.kind == "holds"}
    assert held == {(main.id, locks["main"]): "certain", (worker.id, locks["worker"]): "certain"}
    assert napper.waits_for is not None
    assert napper.waits_for.kind == "sleep"
    frame = next(frame for frame in napper.stack if frame.function == "nap")
    assert (frame.file, frame.line, frame.source) == (str(PROGRAM), 26, "time.sleep(seconds)")
    assert frame.locals is not None
    assert {name: value.repr for name, value in frame.locals.items()} == {
        "name": "'sleepy'", "seconds": "1000", "numbers": "[1, 2, 3]",
    }  # fmt: skip
    (process,) = report.processes
    assert process.python is not None
    assert (process.python.version or "").startswith(interpreter.minor)
    assert "threading" in process.modules
    (moment,) = report.moments
    assert moment.capture.problems == []
    assert moment.shutdown is not None
    assert moment.shutdown.phase == "running"
    assert moment.gil is not None
    assert moment.gil.holder is None
    (finding,) = report.findings
    assert (finding.code, finding.certainty) == ("lock-cycle", "certain")
    assert [one.id for one in finding.subjects] == [main.id, locks["worker"], worker.id, locks["main"]]


def test_the_command(deadlocked: Target, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    words = [sys.executable, "-m", "lastwords", "attach", str(deadlocked.pid), "--json", str(file), "--text", "-"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    first, *_ = done.stdout.splitlines()
    assert first == "deadlock: MainThread waits for lock __main__.second_lock, held by worker-1,"
    assert "held by worker-1 (certain)" in " ".join(done.stdout.split())
    document = json.loads(file.read_text())
    check_report(document)
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(frame.get("locals") is None for thread in document["threads"] for frame in thread["stack"])
    assert lastwords.load(file).threads[0].name == "MainThread"


def test_it_is_left_as_it_was(deadlocked: Target) -> None:
    before = describe(deadlocked.pid)
    for pause in (True, False):
        lastwords.attach(deadlocked.pid, pause=pause)
    wait_until(lambda: describe(deadlocked.pid) == before, "it is in its system calls again, and as it was")
    assert deadlocked.process.poll() is None


def describe(pid: int) -> dict[str, object]:
    """What could be left behind in a process: a tracer, a stop, pages, descriptors, pending signals."""
    lines = dict(line.split(":", 1) for line in procfs.read_text(pid, "status").splitlines())
    process = psutil.Process(pid)
    return {
        **{
            name: lines[name].strip()
            for name in ("State", "TracerPid", "VmPTE", "VmSwap", "SigPnd", "ShdPnd", "Threads")
        },
        "fds": process.num_fds(),
        "maps": [(one.start, one.end, one.permissions) for one in procfs.read_maps(pid)],
        "syscalls": [procfs.read_text(pid, f"task/{tid}/syscall") for tid in procfs.read_tasks(pid)],
    }
