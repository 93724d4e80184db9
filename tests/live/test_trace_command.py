"""`lastwords trace` and `lastwords guard`, as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from environments import Environment
from harness import TARGETS
from interpreters import CHECKOUT, Interpreter
from lastwords.model import from_json

LATE = str(TARGETS / "investigation_original.py")
ORDERED = str(TARGETS / "agent_ordered.py")
ENDS = "import threading, sys; sys.exit(9)"


def lastwords(
    *arguments: str, environment: Environment | None = None, hunter: Path = Path("/nonexistent")
) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT / 'tools')!r}); from lastwords.cli import main; sys.exit(main())"
    )
    environ = os.environ | (environment.env if environment else {}) | {"LASTWORDS_HUNTER": str(hunter)}
    command = [sys.executable, "-I", "-c", code, *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.interpreters(minors=("2.7", "3.12", "3.13"))
def test_trace_ends_as_the_program_and_writes_what_is_asked(gevent_environment: Environment, tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("r.json", "c.json", "t.txt")]
    asked = ["--json", files[0], "--chrome", files[1], "--text", files[2]]
    python = str(gevent_environment.python)
    done = lastwords("trace", *asked, "--", python, "-c", ENDS, environment=gevent_environment)
    assert (done.returncode, done.stdout, done.stderr) == (9, "", "")
    report = from_json(Path(files[0]).read_bytes())
    assert report.mode == "trace"
    assert report.processes[0].exit is not None
    assert report.processes[0].exit.code == 9
    assert report.trace[0].function in ("_shutdown", "_exitfunc")
    assert json.loads(Path(files[1]).read_bytes())["traceEvents"]
    assert report.trace[0].function + "(" in Path(files[2]).read_text()


@pytest.mark.interpreters(minors=("2.7", "3.12"))
def test_trace_shows_the_tree_on_stderr_after_the_programs_own(gevent_environment: Environment) -> None:
    program = "import threading; print('out')"
    done = lastwords("trace", "--", str(gevent_environment.python), "-c", program, environment=gevent_environment)
    assert (done.returncode, done.stdout) == (0, "out\n")
    assert "as hunter saw it" in done.stderr.splitlines()[0]


@pytest.mark.interpreters(minors=("3.12",))
def test_trace_dies_by_the_signal_that_killed_the_program(gevent_environment: Environment) -> None:
    program = "import os; os.kill(os.getpid(), 15)"
    assert lastwords("trace", "--", str(gevent_environment.python), "-c", program).returncode == -15


@pytest.mark.interpreters(minors=("3.12",))
def test_trace_without_hunter_names_the_command(interpreter: Interpreter) -> None:
    done = lastwords("trace", "--", str(interpreter.path), "-c", ENDS)
    assert done.returncode == 9
    assert f"{interpreter.path} -m pip install --target /nonexistent/{interpreter.minor} 'hunter>=3.4'" in done.stderr


@pytest.mark.interpreters(minors=("3.8", "3.12"))
def test_trace_takes_hunter_from_its_own_directory(
    interpreter: Interpreter, gevent_environment: Environment, tmp_path: Path
) -> None:
    (packages,) = gevent_environment.root.glob("lib/python*/site-packages")
    (tmp_path / interpreter.minor).symlink_to(packages)
    program = (
        "import threading, atexit, sys; before = list(sys.path); atexit.register(lambda: print(sys.path == before))"
    )
    done = lastwords("trace", "--", str(interpreter.path), "-c", program, hunter=tmp_path)
    assert (done.returncode, done.stdout) == (0, "True\n")
    assert "as hunter saw it" in done.stderr


def test_trace_of_no_program() -> None:
    done = lastwords("trace", "--", "/nonexistent/program")
    assert done.returncode == 127
    assert done.stderr.startswith("lastwords: /nonexistent/program: no such file")


@pytest.mark.interpreters(minors=("3.12",))
def test_trace_says_that_it_did_not_see_the_end(gevent_environment: Environment) -> None:
    program = "import threading, os; os.closerange(3, 9999)"
    done = lastwords("trace", "--", str(gevent_environment.python), "-c", program)
    assert done.returncode == 0
    assert "the agent did not see the end of the program" in done.stderr


def test_guard_fails_a_patch_that_came_too_late(gevent_environment: Environment) -> None:
    done = lastwords("guard", "--", str(gevent_environment.python), LATE, environment=gevent_environment)
    assert done.returncode == 70
    assert "lastwords: threading was imported before gevent patched it" in done.stderr
    assert f"    {LATE}:3  import threading" in done.stderr
    assert f"    {LATE}:7  gevent.monkey.patch_thread()" in done.stderr


def test_guard_lets_a_patch_in_time_pass(gevent_environment: Environment) -> None:
    done = lastwords("guard", "--", str(gevent_environment.python), ORDERED, environment=gevent_environment)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.interpreters(minors=("3.12",))
def test_guard_says_when_it_could_not_look(gevent_environment: Environment) -> None:
    done = lastwords("guard", "--", str(gevent_environment.python), "-I", "-c", "pass")
    assert done.returncode == 0
    assert "imports were not watched" in done.stderr


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(("program", "late"), [("late", True), ("ordered", False)])
def test_check_from_inside(
    gevent_environment: Environment, tmp_path: Path, program: str, late: bool, watched: bool
) -> None:
    guard = CHECKOUT / "tools" / "lastwords" / "guard.py"
    (tmp_path / "guard.py").write_bytes(guard.read_bytes())
    patch = "from gevent import monkey; monkey.patch_all()"
    early, after = ("import threading", patch) if program == "late" else (patch, "import threading")
    report = "import guard, sys; sys.stdout.write(' '.join(one.module for one in guard.find_late())); guard.check()"
    (tmp_path / "app.py").write_text(f"{early}\n{after}\n{report}\n")
    command = [str(gevent_environment.python), str(tmp_path / "app.py")]
    if watched:
        done = lastwords("guard", "--ignore", "thread", "--", *command, environment=gevent_environment)
    else:
        environ = os.environ | gevent_environment.env
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ("threading" in done.stdout.split()) == late
    assert ("PatchedTooLateError" in done.stderr) == late
    assert done.returncode == ((70 if watched else 1) if late else 0)
