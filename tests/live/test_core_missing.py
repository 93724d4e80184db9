"""A core on a machine that lacks a library, or has another one: said by name and build-id, with what helps."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dumps import allow_core
from harness import TARGETS, running
from interpreters import Interpreter
from lastwords.capture.core.corefile import open_core
from lastwords.cli import main
from needs import need

pytestmark = pytest.mark.interpreters("ctypes", "shared", minors=("3.11",))
Output = pytest.CaptureFixture[str]


@pytest.fixture
def core(interpreter: Interpreter, tmp_path: Path) -> Iterator[Path]:
    """Of a thread that died in a C function that ctypes called."""
    with running([interpreter.path, TARGETS / "core_faults.py"], cwd=tmp_path) as target:
        target.wait_for()
        allow_core(target)
        target.send_line()
        assert target.wait() == -signal.SIGSEGV
    [path] = tmp_path.iterdir()
    yield path
    path.unlink()


def library(core: Path) -> str:
    """The extension module that is on the stack of the thread that died."""
    return next(path for path in open_core(core).files.by_path if "/_ctypes" in path)


def rename(core: Path, path: str, other: str) -> None:
    """The core calls a mapped file otherwise."""
    assert len(os.fsencode(path)) == len(os.fsencode(other))
    core.write_bytes(core.read_bytes().replace(os.fsencode(path) + b"\0", os.fsencode(other) + b"\0"))


def told(core: Path, capfd: Output) -> str:
    assert main(["core", str(core)]) == 5
    shown = capfd.readouterr()
    assert shown.err == ""
    first, *_ = shown.out.splitlines()
    assert first.startswith("the process died of SIGSEGV")
    return " ".join(shown.out.split())


def build_id(core: Path, path: str) -> str:
    identity = open_core(core).files.by_path[path].identity()
    assert identity is not None
    assert identity[0]
    return identity[0]


def test_one_that_is_not_here(core: Path, capfd: Output) -> None:
    path = library(core)
    wanted = build_id(core, path)
    gone = path[:-3] + "xyz"
    rename(core, path, gone)
    said = told(core, capfd)
    assert f"{gone} is not to be had on this machine: No such file or directory (its build-id is {wanted})" in said
    assert f"`lastwords core {core} COPY`, which looks at its build-id" in said
    assert "`debuginfod-find executable BUILD_ID`" in said
    assert main(["core", str(core), path]) == 0  # the copy


def test_one_that_is_another(core: Path, capfd: Output) -> None:
    path = library(core)
    wanted = build_id(core, path)
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    need(len(path) > len(str(folder)) + 2, "a library whose path is long enough")
    other = str(folder / "x").ljust(len(path), "x")
    shutil.copy("/bin/true", other)
    try:
        rename(core, path, other)
        said = told(core, capfd)
    finally:
        shutil.rmtree(folder)
    assert re.search(rf"{other} is not the file that was mapped: its build-id is \w+, the core has {wanted}", said)
    assert f"`lastwords core {core} COPY`" in said


def test_a_signal_that_is_no_crash(interpreter: Interpreter, tmp_path: Path, capfd: Output) -> None:
    program = "import sys; print('ready', flush=True); sys.stdin.read()"
    with running([interpreter.path, "-c", program], cwd=tmp_path) as target:
        target.wait_for()
        allow_core(target)
        os.kill(target.pid, signal.SIGQUIT)
        assert target.wait() == -signal.SIGQUIT
    [path] = tmp_path.iterdir()
    assert main(["core", str(path)]) == 0
    assert capfd.readouterr().out.startswith("killed by SIGQUIT: MainThread")
    path.unlink()
