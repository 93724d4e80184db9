"""What README.md tells to type works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from harness import running
from interpreters import Interpreter

README = Path(__file__).resolve().parents[2] / "README.md"
COMMANDS = re.findall(r"^\$ (lastwords .*?)(?: +#.*)?$", README.read_text(), re.MULTILINE)


def test_there_are_commands_to_try() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"run", "trace", "guard", "doctor"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme(command: str, running_python: Interpreter, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import threading\nprint('done')\n")
    names = tmp_path / "bin"
    names.mkdir()
    (names / "python").symlink_to(running_python.path)
    path = os.pathsep.join([str(names), str(Path(sys.executable).parent), os.environ["PATH"]])
    with running(shlex.split(command), env={"PATH": path}, cwd=tmp_path) as target:
        code = target.wait()
        said = target.describe()
    assert code == 0, said
    assert "done" in target.stdout.text or shlex.split(command)[1] == "doctor", said
