"""`lastwords snapshot`: what `core` tells of it is what `attach` told, on every interpreter; gdb and drgn open it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

import lastwords
from harness import PATIENCE, Target, wait_until
from interpreters import Interpreter
from lastwords.capture import procfs
from lastwords.capture.core.corefile import open_core
from lastwords.capture.which_gdb import find_gdb
from lastwords.examine.core import read_core_report
from lastwords.model import Report
from needs import need

Start = Callable[..., Target]
THREADS = 3
OF_THE_OCCASION = {"mode", "captured_at", "method", "pause_ms", "bytes", "idle_s", "window_ms", "findings"}


def snapshot(*words: object, code: int = 0) -> str:
    """What the command said, to stderr."""
    command = [sys.executable, "-m", "lastwords", "snapshot", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == code, done.stderr
    return done.stderr


def without_occasion(report: Report) -> object:
    """The report as JSON without what differs from one look to the next: findings are made of the rest."""

    def clean(value: object) -> object:
        if isinstance(value, dict):
            return {key: clean(one) for key, one in value.items() if key not in OF_THE_OCCASION}
        if isinstance(value, str):
            return re.sub(r"sleeps for [0-9.]+ s", "sleeps", value)
        return [clean(one) for one in value] if isinstance(value, list) else value

    return clean(msgspec.to_builtins(report))


def rest(pid: int, count: int) -> Callable[[], bool]:
    """Whether `count` threads wait in the same system calls as when it was asked before."""
    before: list[str] = []

    def rests() -> bool:
        now = [procfs.read_text(pid, f"task/{tid}/syscall") for tid in procfs.read_tasks(pid)]
        is_same = now == before and len(now) == count and "running\n" not in now
        before[:] = now
        return is_same

    return rests


@pytest.fixture
def deadlocked(interpreter: Interpreter, start_target: Start) -> Target:
    """Three threads, each asleep in the kernel."""
    target = start_target(interpreter, "attach_deadlock.py")
    wait_until(rest(target.pid, THREADS), "all threads wait")
    return target


def test_it_tells_what_attach_told(deadlocked: Target, tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    attached = lastwords.attach(deadlocked.pid)
    assert f"{path}: 0." in snapshot(deadlocked.pid, "-o", path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size < 1_000_000
    tids = set(procfs.read_tasks(deadlocked.pid))
    program = procfs.read_link(deadlocked.pid, "exe")
    live = gdb_stacks(program, str(deadlocked.pid))
    deadlocked.end()  # nothing that follows may ask it
    report = read_core_report(path)
    noted = open_core(path).snapshot
    assert noted is not None
    assert without_occasion(report) == without_occasion(msgspec.convert(noted.report, Report))
    assert without_occasion(report) == without_occasion(attached)
    assert {thread.tid for thread in report.threads} == tids
    stacks = gdb_stacks(program, str(path))
    assert set(stacks) == tids
    assert stacks == live
    check_with_drgn(path, stacks)


def gdb_stacks(program: str, target: str) -> dict[int, list[tuple[str, str]]]:
    """By thread the address ("" for the first and for inlined ones) and the function of each of its C frames."""
    need(find_gdb(), "gdb")
    words = ["gdb", "-nx", "-batch", "-iex", "set auto-load no", "-iex", "set debuginfod enabled off"]
    command = ["-ex", "thread apply all bt -frame-arguments none"]
    done = subprocess.run(
        [*words, program, target, *command], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    stacks = re.split(r"^Thread \d+ ", done.stdout, flags=re.MULTILINE)[1:]
    assert stacks, done.stderr
    return {
        int(re.search(r"LWP (\d+)", one)[1]): re.findall(  # type: ignore[index]
            r"^#\d+ +(?:(0x[0-9a-f]+) in )?(\S+)", one, flags=re.MULTILINE
        )
        for one in stacks
    }


def check_with_drgn(path: Path, stacks: dict[int, list[tuple[str, str]]]) -> None:
    """The same threads and frames; gdb shows tail calls beside, and not where the innermost is."""
    drgn = pytest.importorskip("drgn")
    program = drgn.Program()
    program.set_core_dump(path)
    with suppress(drgn.MissingDebugInfoError):  # of some; their unwind tables are there
        program.load_default_debug_info()
    found = {thread.tid: list(program_counters(thread.stack_trace())) for thread in program.threads()}
    assert set(found) == set(stacks)
    for tid, frames in stacks.items():
        innermost, *_ = found[tid]
        assert len(set(found[tid])) >= 5
        assert set(found[tid]) - {innermost} <= {int(address, 16) for address, _ in frames if address}


def program_counters(trace: Iterable[Any]) -> Iterator[int]:
    """Those of its frames; the last may be none."""
    for frame in trace:
        with suppress(LookupError):
            yield frame.pc
