"""`pytest --lastwords`, and the names of tests that are read from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lastwords
from harness import Target, clean_environment, wait_until_at_rest
from interpreters import CHECKOUT, Interpreter

TESTS = """\
import queue, threading

class Bad:
    def __del__(self):
        raise KeyError("gone")

def test_before():
    pass

def test_swallows():
    Bad()

def test_leaves():
    threading.Thread(target=queue.Queue().get, name="consumer").start()

def test_after():
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Tests of which one leaves a thread for which the exit waits, and a file that says what is to be done then."""
    (tmp_path / "test_x.py").write_text(TESTS)
    table = 'hang-after = 1\non-hang = ["kill"]\njson = "report.json"\n'
    (tmp_path / "pyproject.toml").write_text(f"[tool.lastwords]\n{table}")
    return tmp_path


def run_pytest(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in clean_environment().items() if not name.startswith(("LASTWORDS", "PYTEST"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    environment = kept | {"PYTHONPATH": str(CHECKOUT / "tools")} | more
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=180,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def evidence(report: dict[str, Any]) -> dict[str, list[str]]:
    return {one["code"]: [each["text"] for each in one["evidence"]] for one in report["findings"]}


def test_a_hang_after_the_last_test_and_what_was_swallowed_name_their_tests(project: Path) -> None:
    done = run_pytest(project, "--lastwords", "-q")
    assert done.returncode == -15, done.stderr
    assert "4 passed" in done.stdout
    assert done.stderr.splitlines()[0].startswith("the exit waits for thread consumer, which waits: Queue.get")
    said = evidence(json.loads((project / "report.json").read_bytes()))
    assert "consumer was left running by test_x.py::test_leaves" in said["exit-waits-for-thread"]
    assert "while test_x.py::test_swallows (call) ran" in said["finalizer-failed"]


def test_without_the_tests_that_are_to_blame_nothing_hangs_and_the_exit_code_is_pytests(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.lastwords]\npytest = true\njson = "report.json"\n')
    done = run_pytest(project, "-k", "before or after")
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout + done.stderr
    assert (project / "report.json").exists()  # [tool.lastwords] asked for it
    failing = run_pytest(project, "--lastwords", "nowhere.py")
    assert failing.returncode == 4
    assert "file or directory not found: nowhere.py" in failing.stderr
    (project / "report.json").unlink()
    assert run_pytest(project, "-k", "before", "--no-lastwords").returncode == 0
    assert not (project / "report.json").exists()


def test_it_costs_nothing_when_it_is_not_asked_for(project: Path) -> None:
    (project / "pyproject.toml").unlink()
    (project / "test_x.py").write_text(
        "import sys\ndef test_loaded(request):\n"
        "    assert {one for one in sys.modules if one.split('.')[0] in ('lastwords', 'click', 'msgspec', 'elftools')}"
        " == {'lastwords', 'lastwords.pytest_plugin'}\n"
        "    assert not request.config.pluginmanager.has_plugin('lastwords-threads')\n"
    )
    done = run_pytest(project)
    assert done.returncode == 0, done.stdout


def test_a_table_that_cannot_be_read_is_pytests_usage_error(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool]\nlastwords = 5\n")
    done = run_pytest(project)
    assert done.returncode == 4
    assert "tool.lastwords is 5; it is a table: [tool.lastwords]" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_of_tests_are_read_from_outside(interpreter: Interpreter, start_target: Callable[..., Target]) -> None:
    target = start_target(interpreter, "under_pytest.py")
    wait_until_at_rest(target.pid)
    report = lastwords.attach(target.pid)
    assert report.moments[0].test == "tests/test_x.py::test_y[1-a b] (call)"
    assert {one.name: one.test for one in report.threads} == {
        "MainThread": None,
        "left": "tests/test_x.py::test_before",
    }
    target.send_line()
    target.wait_for("between")
    assert lastwords.attach(target.pid).moments[0].test is None
    target.send_line()
    target.wait_for("no pytest")
    assert lastwords.attach(target.pid).moments[0].test is None
