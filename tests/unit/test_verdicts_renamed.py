"""Cases by other names: nothing of theirs is left of the old ones, and all of the libraries'."""

from __future__ import annotations

from pathlib import Path

import pytest

from verdicts.case import OWN
from verdicts.renamed import rename_files

PROGRAM = """\
import threading
import helper

class Work(threading.Thread):
    limit = 3

    def run(self):
        with helper.my_lock:
            found = self.limit

def start_all(count):
    for number in range(count):
        Work(name="start_all").start()

start_all(count=2)
"""
RENAMED = """\
import threading
import m0

class n0(threading.Thread):
    limit = 3

    def run(self):
        with m0.n2:
            n1 = self.limit

def n4(count):
    for n3 in range(count):
        n0(name="n4").start()

n4(count=2)
"""


def test_names_of_its_own_are_others_and_those_of_libraries_are_left(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAM.replace("helper", "zz"))
    (tmp_path / "zz.py").write_text("import threading\nmy_lock = threading.Lock()\n")
    assert rename_files(tmp_path) == {"app.py": "m0.py", "zz.py": "m1.py"}
    assert (tmp_path / "m0.py").read_text() == RENAMED.replace("m0", "m1")
    assert (tmp_path / "m1.py").read_text() == "import threading\nn2 = threading.Lock()\n"


@pytest.mark.parametrize("case", sorted(OWN.glob("*/case.json")), ids=lambda path: path.parent.name)
def test_every_case_can_be_renamed(case: Path, tmp_path: Path) -> None:
    for path in case.parent.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    for old, new in rename_files(tmp_path).items():
        before, after = (case.parent / old).read_text(), (tmp_path / new).read_text()
        assert compile(after, new, "exec")
        assert after.count("\n") == before.count("\n")
