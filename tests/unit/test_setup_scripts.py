"""What the set-up scripts say when something is missing: one message with the way out, and no traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from interpreters import CHECKOUT

SETUP = Path("tools") / "setup"
TOOLS = ("sh", "dirname", "cat", "grep", "tail", "head", "tr", "id", "mkdir", "sha256sum")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout with the set-up scripts alone, and in `bin` the tools that any machine has, without a Python."""
    checkout = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / SETUP, checkout / SETUP)
    (checkout / "tools" / "lastwords").mkdir()
    for name in ("pyproject.toml", "tools/lastwords/__init__.py"):
        shutil.copy(CHECKOUT / name, checkout / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, f"no {tool} on this machine"
        (tmp_path / "bin" / tool).symlink_to(found)
    return checkout


def _fail(checkout: Path, script: str, *arguments: str, **env: str) -> str:
    """What the failing script says on stderr."""
    path = str(checkout.parent / "bin")
    command = ["sh", str(checkout / SETUP / script), *arguments]
    done = subprocess.run(command, env={"PATH": path, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def test_no_package_manager(bare: Path) -> None:
    assert _fail(bare, "machine.sh", "gdb", "compiler") == (
        "missing: gdb compiler. There is no apt-get, dnf or apk here to install them: "
        "install them, then run make again.\n"
    )


@pytest.mark.parametrize(
    ("manager", "command"),
    [("apt-get", "install gdb gcc libc6-dev"), ("dnf", "install gdb gcc glibc-devel"), ("apk", "add gdb gcc musl-dev")],
)
def test_no_right_to_install(bare: Path, manager: str, command: str) -> None:
    for name, script in (("id", "echo 1000"), (manager, "exit 1")):
        _fake(bare, name, script)
    assert _fail(bare, "machine.sh", "gdb", "compiler") == (
        f"missing: gdb compiler, and this user may not install packages. As root: {manager} {command} \n"
    )


def test_the_package_manager_fails(bare: Path) -> None:
    _fake(bare, "id", "echo 0")
    _fake(bare, "apt-get", "echo 'E: Unable to locate package gdb'; exit 100")
    (bare.parent / "bin" / "env").symlink_to(shutil.which("env") or "/usr/bin/env")
    assert _fail(bare, "machine.sh", "gdb") == (
        "apt-get could not install: gdb \n"
        "E: Unable to locate package gdb\n"
        "Is the machine connected? Try it by hand: apt-get install gdb    (all it said: .cache/setup.log)\n"
    )


def test_nothing_missing_asks_for_nothing(bare: Path) -> None:
    _fake(bare, "gdb", "exit 1")
    _fake(bare, "cc", "exit 1")
    command = ["sh", str(bare / SETUP / "machine.sh"), "gdb", "compiler"]
    done = subprocess.run(command, env={"PATH": str(bare.parent / "bin")}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_python(bare: Path) -> None:
    assert _fail(bare, "python.sh").splitlines()[-1] == ("Install one, or name it: make PYTHON=/path/to/python3.11 ...")


def test_a_python_that_is_too_old(bare: Path) -> None:
    _fake(bare, "python3", "[ $1 = -V ] && echo Python 3.9.2")
    assert "lastwords needs Python 3.11 or newer, and none is on PATH (Python 3.9.2)." in _fail(bare, "python.sh")


def test_no_package_index(bare: Path) -> None:
    """The port is closed: what a machine without a network comes to as well, only faster."""
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    said = _fail(bare, "venv.sh", PYTHON=str(Path(sys.executable).resolve()), **nowhere).splitlines()
    assert said[0] == "pip could not install what pyproject.toml asks for into .venv:"
    assert said[1].startswith("ERROR: ")
    assert said[-2:] == [
        "Is a package index in reach? Connect the machine, or name its mirror to pip (PIP_INDEX_URL or pip.conf),",
        "and run make again. All that pip said: .cache/setup.log",
    ]
    assert len(said) <= 6
    assert not (bare / ".venv" / ".made-from").exists()


def test_set_up_again_takes_no_time() -> None:
    """What every make target does first, on a machine where it has been done: under 2 s of a processor's time."""
    for _ in range(2):  # the first may have something to do
        started = os.times()
        done = subprocess.run(["make", "-C", CHECKOUT, "setup"], capture_output=True, text=True, check=False)
        ended = os.times()
        seconds = ended.children_user + ended.children_system - started.children_user - started.children_system
    assert done.returncode == 0, done.stdout + done.stderr
    assert seconds < 2


def test_help_lists_every_target() -> None:
    said = subprocess.run(["make", "-C", CHECKOUT, "help"], capture_output=True, text=True, check=True).stdout
    phony = [line.split()[1] for line in (CHECKOUT / "Makefile").read_text().splitlines() if line.startswith(".PHONY")]
    assert [line.split()[0] for line in said.splitlines() if not line.startswith("make")] == phony


def _fake(checkout: Path, name: str, script: str) -> None:
    path = checkout.parent / "bin" / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    path.chmod(0o755)
