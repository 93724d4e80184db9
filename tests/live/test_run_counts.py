"""`lastwords run`: the same from the same place is one record with a count, and what is told twice is one event."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness import TARGETS
from interpreters import Interpreter, find_interpreters
from needs import need
from watching import watch

NEWEST = find_interpreters()[-1].minor if find_interpreters() else ""
EARLY = """\
class Early(object):
    def __del__(self):
        raise ValueError("early")
Early()
"""
COUNT = 300


@pytest.mark.interpreters("ctypes", minors=("2.7", "3.8", "3.13", NEWEST))
def test_repetitions_are_counted_exactly(interpreter: Interpreter, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    need(compiler, "a C compiler (cc)")
    library = tmp_path / "twice.so"
    subprocess.run([str(compiler), "-shared", "-fPIC", "-O2", "-o", library, TARGETS / "tells_twice.c"], check=True)
    early = tmp_path / "early"
    early.mkdir()
    (early / "sitecustomize.py").write_text(EARLY)
    program: list[str | Path] = [interpreter.path, TARGETS / "swallows_often.py", str(COUNT), library]
    seen = watch(program, tmp_path, env={"PYTHONPATH": str(early)})
    counts = {one.exception.value: (one.count, one.how) for one in seen.report.exceptions if one.exception is not None}
    assert len(counts) == len(seen.report.exceptions)
    assert counts.pop("again") == (COUNT, "unraisable")
    assert counts.pop("early") == (1, "unraisable")
    assert counts.pop("twice") == (5, "unraisable")  # printed, then called ignored
    assert {one.message for one in seen.report.exceptions} <= set(seen.stderr.splitlines())
    # Different texts from one place: a record each, up to a bound; then they are counted with the last.
    assert counts == {f"number {number}": (11 if number == 19 else 1, "unraisable") for number in range(20)}
