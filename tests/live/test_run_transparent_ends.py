"""A program under `lastwords` ends as it ends without, and its children are to it what they were."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from harness import TARGETS, wait_until
from interpreters import Interpreter
from lastwords.model import from_json
from transparency import MODES, Outcome, default_signals, outcome

PROGRAM = TARGETS / "ends_somehow.py"
FATAL = (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR1)


def without_core() -> None:
    default_signals()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def compare(interpreter: Interpreter, mode: str, way: str, directory: Path) -> Outcome:
    """How it ends, which is the same both ways."""
    program: list[str | Path] = [interpreter.path, PROGRAM, way]
    bare = outcome("bare", program, directory, prepare=without_core)
    assert outcome(mode, program, directory, prepare=without_core) == bare
    return bare


@pytest.mark.interpreters(minors=("2.7", "3.8", "3.12", "3.15"))
@pytest.mark.parametrize("mode", MODES)
def test_its_children_are_what_they_were(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    ended = compare(interpreter, mode, "all_of_them", tmp_path)
    assert ended.status == 7
    assert ended.stdout.count(b"stopped True") == 2
    assert ended.stdout.count(b"continued True") == 2


@pytest.mark.interpreters(minors=("3.12",))
@pytest.mark.parametrize("way", ["text", "none", "true", "large", "_exit", "uncaught", "interrupted", "aborts"])
def test_each_way_to_end(interpreter: Interpreter, way: str, tmp_path: Path) -> None:
    ended = compare(interpreter, "run", way, tmp_path)
    expected = {"text": 1, "none": 0, "true": 1, "large": 9, "_exit": 11, "uncaught": 1}
    assert ended.status == expected.get(way, {"interrupted": -signal.SIGINT, "aborts": -signal.SIGABRT}.get(way))


@pytest.mark.interpreters(minors=("2.7", "3.12"))
@pytest.mark.parametrize("number", FATAL)
def test_death_by_a_signal_is_ours_too(interpreter: Interpreter, number: signal.Signals, tmp_path: Path) -> None:
    assert compare(interpreter, "run", str(int(number)), tmp_path).status == -number


@pytest.mark.interpreters(minors=("3.12",))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["executes_python", "executes_true"])
def test_another_program_in_its_place(interpreter: Interpreter, mode: str, way: str, tmp_path: Path) -> None:
    assert compare(interpreter, mode, way, tmp_path).status == (8 if way == "executes_python" else 0)


@pytest.mark.interpreters(minors=("2.7", "3.12"))
@pytest.mark.parametrize("mode", MODES)
def test_a_daemon_outlives_us(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    said = tmp_path / "said"
    ended = outcome(mode, [interpreter.path, PROGRAM, "daemonises", said], tmp_path)
    assert ended == Outcome(b"", b"", 4)
    wait_until(lambda: said.exists() and said.read_text(), "the daemon has written")
    assert said.read_text() == "True 1"
    report = from_json((tmp_path / f"{mode}.json").read_bytes())
    assert report.processes[0].exit is not None
    assert report.processes[0].exit.code == 4


@pytest.mark.interpreters(minors=("3.12",))
def test_a_core_dump_is_the_programs_alone(interpreter: Interpreter, tmp_path: Path) -> None:
    """Where the kernel writes cores into files, there is one, of the program."""
    if Path("/proc/sys/kernel/core_pattern").read_text().strip() != "core":
        pytest.skip("missing on this machine: a core_pattern that writes `core` into the working directory")

    def with_core() -> None:
        default_signals()
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("missing on this machine: permission to write core files")
    ended = outcome("run", [interpreter.path, PROGRAM, "aborts"], tmp_path, prepare=with_core)
    assert ended.status == -signal.SIGABRT
    report = from_json((tmp_path / "run.json").read_bytes())
    cores = [name for name in os.listdir(tmp_path) if name.startswith("core")]  # noqa: PTH208
    assert cores in (["core"], [f"core.{report.processes[0].pid}"])
