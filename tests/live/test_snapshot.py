"""`lastwords snapshot`: what `core` tells of it is what `attach` told, on every interpreter; gdb and drgn open it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

import lastwords
from environments import Environment
from harness import PATIENCE, Target, name_values, target_running, wait_until, wait_until_at_rest
from interpreters import Interpreter, find_interpreters
from lastwords.capture import procfs
from lastwords.capture.core.corefile import open_core
from lastwords.capture.stop.live import HOLD_SECONDS
from lastwords.capture.which_gdb import find_gdb
from lastwords.errors import TargetError
from lastwords.examine.core import read_core_report
from lastwords.model import Report
from needs import need
from stopping import states

Start = Callable[..., Target]
THREADS = 3
GREENLETS = 200
OF_THE_OCCASION = {"mode", "captured_at", "method", "pause_ms", "bytes", "idle_s", "window_ms", "findings"}


def snapshot(*words: object, code: int = 0) -> str:
    """What the command said, to stderr."""
    command = [sys.executable, "-m", "lastwords", "snapshot", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == code, done.stderr
    return done.stderr


def without_occasion(report: object) -> object:
    """The report as JSON without what differs from one look to the next: findings are made of the rest."""

    def clean(value: object) -> object:
        if isinstance(value, dict):
            return {key: clean(one) for key, one in value.items() if key not in OF_THE_OCCASION}
        if isinstance(value, str):
            return re.sub(r"sleeps for [0-9.]+ s", "sleeps", value)
        return [clean(one) for one in value] if isinstance(value, list) else value

    return clean(msgspec.to_builtins(report))


@pytest.fixture
def deadlocked(interpreter: Interpreter, start_target: Start) -> Target:
    """Three threads, each asleep in the kernel."""
    target = start_target(interpreter, "attach_deadlock.py")
    wait_until_at_rest(target.pid, threads=THREADS)
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


def gdb_stacks(program: str, target: str, *more: str) -> dict[int, list[tuple[str, str]]]:
    """By thread the address ("" for the first and for inlined ones) and the function of each of its C frames."""
    need(find_gdb(), "gdb")
    words = ["gdb", "-nx", "-batch", "-iex", "set auto-load no", "-iex", "set debuginfod enabled off", *more]
    words += ["-iex", "set backtrace past-main on"]
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


def test_vector_registers(running_python: Interpreter, start_target: Start, tmp_path: Path) -> None:
    """gdb shows of the snapshot what it shows of the process, and what the program put there."""
    need(find_gdb(), "gdb")
    flags = Path("/proc/cpuinfo").read_text().split()
    has = [name for name in ("avx", "avx512f") if name in flags]
    target = start_target(running_python, "vector_registers.py", *has)
    wait_until_at_rest(target.pid)
    path = tmp_path / "snapshot"
    snapshot(target.pid, "-o", path)
    registers = [f"$xmm{number}.uint128" for number in range(16)] + ["$mxcsr", "$st0"]
    registers += [f"$ymm{number}.v2_int128" for number in range(16)] if "avx" in has else []
    shown = show_registers(path, *registers)
    assert shown == show_registers(target.pid, *registers)
    assert "<unavailable>" not in shown
    assert read_numbers(path, "$xmm5.v4_int32") == list(range(0x1119, 0x111D))
    assert "avx" not in has or read_numbers(path, "$ymm0.v8_int32") == list(range(0x1111, 0x1119))
    wide = read_numbers(path, "$zmm17.v16_int32") if "avx512f" in has else []
    assert wide in (list(range(0x1121, 0x1131)), [])  # none: not where we know them to be (architectures/xsave.py)


def show_registers(what: object, *registers: str) -> str:
    """How gdb prints them, of a core or a process."""
    words = ["gdb", "-nx", "-batch", "-iex", "set auto-load no", "-iex", "set debuginfod enabled off"]
    words += [f"--core={what}" if isinstance(what, Path) else f"--pid={what}"]
    words += [f"-ex=p/x {one}" for one in registers]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return "\n".join(re.findall(r"^\$\d+ = .*", done.stdout, flags=re.MULTILINE))


def read_numbers(core: Path, register: str) -> list[int]:
    """The parts of one register."""
    return [int(word, 16) for word in re.findall(r"0x[0-9a-f]+", show_registers(core, register))]


def test_into_a_pipe(running_python: Interpreter, start_target: Start, tmp_path: Path) -> None:
    target = start_target(running_python, "attach_deadlock.py")
    wait_until_at_rest(target.pid, threads=THREADS)
    command = [sys.executable, "-m", "lastwords", "snapshot", str(target.pid), "-o", "-"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE)
    path = tmp_path / "snapshot"
    path.write_bytes(done.stdout)
    assert re.match(rb"stdout: 0\.\d MB, stopped for ", done.stderr)
    assert without_occasion(read_core_report(path)) == without_occasion(lastwords.attach(target.pid))


@pytest.mark.interpreters(minors=("3.12",))
def test_a_gevent_server_is_small_however_large_it_is(gevent_environment: Environment, tmp_path: Path) -> None:
    sizes = []
    for megabytes in (1, 200):
        with target_running(gevent_environment.python, "gevent_server.py", str(megabytes)) as server:
            wait_until_at_rest(server.pid)
            heap = psutil.Process(server.pid).memory_info().rss
            path = tmp_path / str(megabytes)
            snapshot(server.pid, "-o", path)
        assert heap > megabytes * 900_000
        sizes.append(path.stat().st_size)
        report = read_core_report(path)
        stacks = [{frame.function for frame in one.stack} for one in report.greenlets]
        assert sum("handle" in functions for functions in stacks) == GREENLETS
    assert max(sizes) < 2_000_000, sizes
    assert sizes[1] < 1.2 * sizes[0]


# Where the files are not


@pytest.fixture
def moved(start_target: Start, tmp_path: Path) -> tuple[Path, Path, Report]:
    """Two snapshots of a program that is not there any more, with what it had mapped and without, and its report."""
    static = [one for one in find_interpreters() if one.has("static") and one.path == Path("/usr/bin/python3.11")]
    need(static, "a Python in one file")
    program = tmp_path / "python3"
    shutil.copy(static[0].path, program)
    target = start_target(program, "attach_deadlock.py", env={"PYTHONHOME": "/usr"})
    wait_until_at_rest(target.pid, threads=THREADS)
    attached = lastwords.attach(target.pid)
    snapshot(target.pid, "-o", tmp_path / "alone")
    snapshot(target.pid, "-o", tmp_path / "bundled", "--bundle")
    target.end()
    program.rename(tmp_path / "moved")
    return tmp_path / "alone", tmp_path / "bundled", attached


def test_elsewhere(moved: tuple[Path, Path, Report], tmp_path: Path) -> None:
    alone, bundled, attached = moved
    assert without_occasion(read_core_report(bundled)) == without_occasion(attached)
    assert without_occasion(read_core_report(alone, tmp_path / "moved")) == without_occasion(attached)
    report = read_core_report(alone)
    assert without_occasion(report.threads) == without_occasion(attached.threads)
    (problem,) = report.moments[0].capture.problems
    assert problem.startswith("shown is what was read when the snapshot was made, because here: ")
    assert f"{tmp_path}/python3 is not to be had on this machine" in problem
    check_tar(bundled, tmp_path / "root", attached, tmp_path / "moved")
    os.truncate(bundled, bundled.stat().st_size // 2)
    report = read_core_report(bundled)
    assert without_occasion(report.threads) == without_occasion(attached.threads)
    assert "the files that came with the snapshot were not all unpacked" in report.moments[0].capture.problems[0]


def check_tar(bundled: Path, root: Path, attached: Report, program: Path) -> None:
    """What is packed is the program itself, and gdb finds it and its libraries."""
    noted = open_core(bundled).snapshot
    assert noted is not None
    root.mkdir()
    subprocess.run(f"tail -c +{noted.bundle + 1} {bundled} | tar xz -C {root}", shell=True, check=True)
    unpacked = f"{root}{bundled.parent}/python3"
    assert Path(unpacked).read_bytes() == program.read_bytes()
    stacks = gdb_stacks(unpacked, str(bundled), "-iex", f"set sysroot {root}")
    assert set(stacks) == {thread.tid for thread in attached.threads}
    assert all(len(frames) > 5 for frames in stacks.values()), stacks


# Where it does not stand still


def test_a_child_in_its_parents_memory(running_python: Interpreter, start_target: Start, tmp_path: Path) -> None:
    """The parent's thread waits for it, uninterruptibly, and is read all the same; the child is no Python yet."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    target = start_target(running_python, "spawns_slowly.py", str(fifo))
    wait_until(
        lambda: "D" in states(target.pid) and psutil.Process(target.pid).children(), "a thread waits for its child"
    )
    (child,) = psutil.Process(target.pid).children()
    report = lastwords.attach(target.pid)
    assert (report.moments[0].capture.pause_ms or 0) < HOLD_SECONDS * 1000
    spawner = next(thread for thread in report.threads if thread.state == "in an uninterruptible sleep")
    assert spawner.waits_for is not None
    assert spawner.waits_for.kind == "process"
    assert (spawner.waits_for.detail or "").startswith("waits for its new child to execute a program (process ")
    assert all(thread.stack for thread in report.threads)
    with pytest.raises(TargetError) as refused:
        lastwords.attach(child.pid)
    told = name_values(f"{refused.value.fact}\n  {refused.value.help}\n", pid=child.pid, parent=target.pid)
    golden = Path(__file__).parents[1] / "golden" / "attach_vfork.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(told)
    assert told == golden.read_text()
    snapshot(target.pid, "-o", tmp_path / "snapshot")
    again = read_core_report(tmp_path / "snapshot")
    assert spawner.waits_for in [thread.waits_for for thread in again.threads]


@pytest.mark.parametrize("program", ["execs_itself.py", "starts_processes.py"])
def test_a_process_that_does_not_stay(
    program: str, running_python: Interpreter, start_target: Start, tmp_path: Path
) -> None:
    """It ends or executes another program meanwhile: a whole snapshot, or an error that says so, never half a file."""
    for number in range(3):
        target = start_target(running_python, program, ready="")
        path = tmp_path / str(number)
        command = [sys.executable, "-m", "lastwords", "snapshot", str(target.pid), "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert done.returncode in (0, 3, 5), done.stderr
        assert "Traceback" not in done.stderr
        assert path.exists() == (done.returncode != 3)
        if path.exists():
            assert read_core_report(path).threads
