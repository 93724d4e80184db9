"""What README.md tells to type works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from harness import running
from interpreters import Interpreter

TESTS = Path(__file__).resolve().parents[1]
README = TESTS.parent / "README.md"
COMMANDS = re.findall(r"^\$ (lastwords .*?)(?: +#.*)?$", README.read_text(), re.MULTILINE)


def test_there_are_commands_to_try() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"run", "trace", "guard", "doctor", "attach", "core"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme(command: str, running_python: Interpreter, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import threading\nprint('done')\n")
    (tmp_path / "test_app.py").write_text("def test_done():\n    print('done')\n")
    names = tmp_path / "bin"
    names.mkdir()
    (names / "python").symlink_to(running_python.path)
    path = os.pathsep.join([str(names), str(Path(sys.executable).parent), os.environ["PATH"]])
    shutil.copy(TESTS / "cores" / "py3.8.core.xz", tmp_path / "core.4711")
    waiting: list[str | Path] = [running_python.path, "-c", "print('ready', flush=True); input()"]
    with running(waiting, env={"PATH": path}) as other:
        other.wait_for("ready")
        words = [str(other.pid) if word == "4711" else word for word in shlex.split(command)]
        with running(words, env={"PATH": path}, cwd=tmp_path) as target:
            if words[1] == "gdb":
                target.send_line("lw-stacks")
                target.send_line("quit")
            code = target.wait()
            said = target.describe()
    assert code == (5 if words[1] == "core" else 0), said  # that core's libraries are not on this machine
    expected = {"ps": str(other.pid), "core": "MainThread", "doctor": "", "snapshot": ""}
    expected |= {"attach": ": MainThread (tid", "gdb": ": MainThread (tid"}
    expected |= {"run": "passed" if "pytest" in words else "done"}
    assert expected.get(words[1], "done") in target.stdout.text, said
