"""`gdb -x gdb_scripts/unraisable.gdb --args python x.py`, by itself: C stack, exception, and the program goes on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from interpreters import Interpreter
from needs import lack

SCRIPT = Path(__file__).parents[2] / "gdb_scripts" / "unraisable.gdb"
BEGINS = "== lastwords: an exception is being swallowed; C stack:\n"
GOES_ON = "== lastwords: the program goes on\n"
SWALLOWS = """\
import os, sys
class Fails(object):
    def __init__(self, *what):
        self.what = what
    def __del__(self):
        raise KeyError(*self.what)
Fails("a string of %d words" % 5)
Fails(-(7 << 40))
Fails()
sys.stdout.write("goes on\\n")
sys.stdout.flush()
os._exit(3)
"""


def run_gdb(interpreter: Interpreter, directory: Path) -> list[str]:
    """What gdb and the program said at each exception, and in the end."""
    if not shutil.which("gdb"):
        lack("gdb")
    program = directory / "swallows.py"
    program.write_text(SWALLOWS)
    done = subprocess.run(
        ["gdb", "-nx", "-batch", "-x", SCRIPT, "--args", interpreter.path, program],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "goes on\n" in done.stdout, done.stdout + done.stderr
    assert "exited with code 03]" in done.stdout
    return done.stdout.split(BEGINS)[1:]


@pytest.mark.interpreters("debug_symbols")
def test_with_symbols(interpreter: Interpreter, tmp_path: Path) -> None:
    stops = run_gdb(interpreter, tmp_path)
    exceptions = [stop.partition("exception: ")[2].partition("\n")[0] for stop in stops]
    assert [text.replace("exceptions.", "") for text in exceptions] == [
        "KeyError: a string of 5 words",
        f"KeyError: {-(7 << 40)}",
        "KeyError",
    ]
    for stop in stops:
        stack = stop.partition("exception: ")[0]
        assert "Unraisable" in stack.splitlines()[0]
        assert "slot_tp_finalize" in stack or "slot_tp_del" in stack
        assert GOES_ON in stop


@pytest.mark.interpreters("stripped")
def test_without_symbols(interpreter: Interpreter, tmp_path: Path) -> None:
    stops = run_gdb(interpreter, tmp_path)
    assert len(stops) == 3
    for stop in stops:
        assert "Unraisable" in stop.splitlines()[0]
        assert GOES_ON in stop


@pytest.mark.interpreters(minors=["3.11"])
def test_what_a_gdb_without_python_reads(interpreter: Interpreter, tmp_path: Path) -> None:
    """Such a gdb stops reading at the line `python`, and has to be told to run; this one is shown the part above."""
    commands = SCRIPT.read_text().partition("\npython\n")[0]
    part = tmp_path / "commands.gdb"
    part.write_text(commands + "\nrun\n")
    program = tmp_path / "swallows.py"
    program.write_text(SWALLOWS)
    done = subprocess.run(
        ["gdb", "-nx", "-batch", "-x", part, "--args", interpreter.path, program],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout.count(BEGINS) == 3, done.stdout + done.stderr
    assert done.stdout.count("(type and value: needs gdb with Python") == 3
    assert "exited with code 03]" in done.stdout
