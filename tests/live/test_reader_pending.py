"""The pending exception, read while gdb holds the program where it is swallowed, against what it then prints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import TARGETS, clean_environment
from interpreters import CHECKOUT
from interpreters import Interpreter as Python
from needs import need

# gdb's commands at each stop; the reader is a process of its own, as gdb's Python is another.
COMMANDS = """\
set breakpoint pending on
set debuginfod enabled off
set pagination off
break {function}
commands
silent
python
import gdb
asked = [int(gdb.parse_and_eval("(unsigned long)$" + name)) for name in ("fs_base", "rdi", "rsi")]
gdb.execute("shell {reader} %d %d %d %d" % (gdb.selected_inferior().pid, *asked))
end
continue
end
run
"""


READER = Path(__file__).with_name("reader_at_stop.py")


@pytest.mark.interpreters("!free_threaded")
def test_the_pending_exception_is_what_is_printed(interpreter: Python, tmp_path: Path) -> None:
    need(shutil.which("gdb"), "gdb")
    seen, printed = swallow(interpreter, tmp_path)
    assert len(seen) == 5
    assert {one["phase"] for one in seen} == {"running"}
    for one in seen:
        exception = one["exception"]
        assert exception["error"] is None
        assert [frame["function"] for frame in exception["traceback"]] == ["<module>", "__del__"]
        assert [frame["function"] for frame in one["stack"]] == ["swallow", "<module>"]
        told = f"{exception['type']}: {exception['value']}".rstrip(": ")
        arguments = f"{exception['type']}: ({', '.join(arg['repr'] for arg in exception['args'])},)"
        if interpreter.minor == "2.7":  # prints the repr() of what is pending
            assert f"Exception {exception['type']}" in printed
        elif interpreter.version < (3, 8, 0):  # prints the tuple of arguments of what is not made yet
            assert {told, arguments} & {line.rstrip(": ") for line in printed.splitlines()}
        else:
            assert told in [line.rstrip(": ") for line in printed.splitlines()]
        named = re.findall(r"(?:Exception ignored in:| in) (<.*?>>?)(?: ignored)?$", printed, re.MULTILINE)
        assert set(one["objects"]) & set(named) or interpreter.version >= (3, 14, 0)  # there they are varargs


def swallow(interpreter: Python, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """What was read at each stop, and what the program printed."""
    output = folder / "seen"
    script = folder / "commands.gdb"
    reader = f"env PYTHONPATH={CHECKOUT / 'tools'} {sys.executable} {READER} {output}"
    script.write_text(COMMANDS.format(function=find_function(interpreter), reader=reader))
    gdb: list[str | Path] = ["gdb", "-nx", "-batch", "-iex", "set auto-load no", "-x", script]
    command: list[str | Path] = [*gdb, "--args", interpreter.path, TARGETS / "reader_swallows.py"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=clean_environment(), check=False
    )  # fmt: skip
    assert output.exists(), done.stdout + done.stderr
    return [json.loads(line) for line in output.read_text().splitlines()], done.stderr


def find_function(interpreter: Python) -> str:
    """Where all that is swallowed comes by, once each."""
    if interpreter.version >= (3, 13, 0):
        return "PyErr_FormatUnraisable" if interpreter.version >= (3, 14, 0) else "PyErr_WriteUnraisable"
    return "_PyErr_WriteUnraisableMsg" if interpreter.version >= (3, 8, 0) else "PyErr_WriteUnraisable"
