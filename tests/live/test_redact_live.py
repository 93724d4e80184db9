"""`attach --redact` on a program that has something of its own everywhere: nothing of it is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import TARGETS, clean_environment, running, wait_until_at_rest
from interpreters import CHECKOUT, Interpreter

WORD = "hush"
SECRETS = ("socket", "cwd", "file", "exception", "local", "name", "argument")


def attach(pid: int, *options: str) -> str:
    """What it says on stdout."""
    command = [sys.executable, "-m", "lastwords", "attach", str(pid), "--locals", "--all", *options]
    environment = clean_environment({"PYTHONPATH": str(CHECKOUT / "tools")})
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode in (0, 5), done.stderr
    return done.stdout


@pytest.mark.interpreters(minors=("2.7", "3.8", "3.13"))  # what is hidden is the report's, whoever made it
def test_nothing_of_the_program_is_left(interpreter: Interpreter, tmp_path: Path) -> None:
    folder = tmp_path / f"{WORD}-cwd"
    folder.mkdir()
    command: list[str | Path] = [
        interpreter.path,
        TARGETS / "has_secrets.py",
        f"{WORD}-socket-{os.getpid()}",
        f"{WORD}-argument",
    ]
    with running(command, cwd=folder, env={"SECRET": f"{WORD}-environment"}) as target:
        target.wait_for("ready")
        wait_until_at_rest(target.pid)
        open_text = attach(target.pid, "-v") + attach(target.pid, "--json", "-")
        assert [word for word in SECRETS if f"{WORD}-{word}" not in open_text] == []
        text = attach(target.pid, "-v", "--redact")
        saved = attach(target.pid, "--json", "-", "--redact")
    assert WORD not in text
    assert WORD not in saved
    assert "has_secrets.py" in text and "serve" in text and "password" in text
    assert json.loads(saved)["processes"][0]["cwd"] == "<hidden>"


def lastwords(*words: str | Path, cwd: Path) -> str:
    """What it says on stdout, the program's words, if it runs one, aside."""
    command = [sys.executable, "-m", "lastwords", *words]
    environment = clean_environment({"PYTHONPATH": str(CHECKOUT / "tools")})
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=cwd, timeout=120)
    assert done.returncode in (0, 5), done.stderr
    return done.stdout


@pytest.mark.interpreters(minors=("3.11",))
def test_nothing_is_left_of_what_a_snapshot_has(interpreter: Interpreter, tmp_path: Path) -> None:
    folder = tmp_path / f"{WORD}-cwd"
    folder.mkdir()
    saved = folder / f"{WORD}.snapshot"
    program = TARGETS / "has_secrets.py"
    command: list[str | Path] = [interpreter.path, program, f"{WORD}-socket-core-{os.getpid()}", f"{WORD}-argument"]
    with running(command, cwd=folder) as target:
        target.wait_for("ready")
        wait_until_at_rest(target.pid)
        lastwords("snapshot", str(target.pid), "-o", saved, cwd=folder)
    for words in (["--text", "-"], ["--json", "-"]):
        shown = ["--locals", "--all", "-v", *words]
        assert f"{WORD}-argument" in lastwords("core", saved, *shown, cwd=folder)
        assert WORD not in lastwords("core", saved, *shown, "--redact", cwd=folder)


SWALLOWS = """
import sys
class Client(object):
    def __del__(self):
        password = sys.argv[1] + "-local"
        raise ValueError(sys.argv[1] + "-value")
Client()
"""


@pytest.mark.interpreters(minors=("3.11",))
def test_nothing_is_left_of_a_program_that_ran(interpreter: Interpreter, tmp_path: Path) -> None:
    folder = tmp_path / f"{WORD}-cwd"
    folder.mkdir()
    (folder / "app.py").write_text(SWALLOWS)

    def run(*options: str) -> str:
        program: list[str | Path] = [interpreter.path, folder / "app.py", f"{WORD}-argument"]
        lastwords("run", "--text", "out.txt", "--json", "out.json", *options, "--", *program, cwd=folder)
        return (folder / "out.txt").read_text() + (folder / "out.json").read_text()

    assert f"{WORD}-argument-value" in run()
    hidden = run("--redact")
    assert WORD not in hidden
    assert "finalizer-failed" in hidden and "ValueError" in hidden and "app.py" in hidden
