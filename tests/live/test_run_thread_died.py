"""`run` sees a thread die, and the hang that follows names it: by what its frames knew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lastwords
from harness import PATIENCE
from interpreters import Interpreter as Python

RUN = [sys.executable, "-m", "lastwords", "run", "--timeout", "6", "--json", "report.json", "--"]
PROGRAM = """\
import threading

class Loader(threading.Thread):
    def __init__(self):
        super().__init__(name="loader", daemon=True)
        self.done = threading.Event()

    def run(self):
        {}[0]
        self.done.set()

    def wait(self):
        self.done.wait()

loader = Loader()
loader.start()
loader.wait()
"""


@pytest.mark.interpreters("symbols", "threading_excepthook", minors=("3.8", "3.13"))
def test_who_died(interpreter: Python, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [*RUN, str(interpreter.path), "program.py"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=PATIENCE * 3, check=False)
    report = lastwords.load(tmp_path / "report.json")
    [caught] = report.exceptions
    assert ("event", "__main__.Loader.done") in {(one.kind, one.name) for one in caught.knew}
    finding = report.findings[0]
    assert (finding.code, finding.certainty) == ("thread-died", "certain")
    assert {9, 13} <= {one.line for one in finding.evidence}
