"""The interpreters found are what they say, and a target is started, heard and ended on each."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import needs
from harness import Target, target_running, wait_until
from interpreters import Interpreter, describe_python, find_interpreters, find_pypy


def test_names_are_unique() -> None:
    names = [one.name for one in find_interpreters()]
    assert len(names) == len(set(names))
    assert names, "no Python found at all, but one runs this test"


def test_an_interpreter_is_its_executable(interpreter: Interpreter) -> None:
    """What /proc says of the process, not what the path suggests."""
    question = "import os, sys; print(os.path.realpath('/proc/self/exe')); print('%d.%d.%d' % sys.version_info[:3])"
    said = subprocess.run([interpreter.path, "-c", question], capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(interpreter.path), ".".join(map(str, interpreter.version))]


def test_a_capability_is_asked_for_and_refused(interpreter: Interpreter) -> None:
    assert interpreter.has("static") != interpreter.has("shared")
    assert interpreter.has("symbols") != interpreter.has("stripped")
    assert interpreter.has("!symbols") == interpreter.has("stripped")
    assert not interpreter.has("symbols", "stripped")


def test_narrowed_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_interpreters()[0]
    monkeypatch.setenv("LASTWORDS_TEST_PYTHONS", first.name)
    assert find_interpreters() == [first]
    monkeypatch.setenv("LASTWORDS_TEST_PYTHONS", "py1.5")
    with pytest.raises(LookupError, match=r"names py1\.5; this machine has "):
        find_interpreters()


def test_extra_builds_are_only_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = [one for one in find_interpreters(extra=True) if one.has("extra")]
    needs.need(extra or os.environ.get("LASTWORDS_TEST_PYTHONS"), "the extra builds of `make pythons`")
    assert not any(one.has("extra") for one in find_interpreters() if not os.environ.get("LASTWORDS_TEST_PYTHONS"))
    for one in extra:
        monkeypatch.setenv("LASTWORDS_TEST_PYTHONS", one.name)
        assert find_interpreters() == [one]


@pytest.mark.interpreters("extra", extra=True)
def test_an_extra_build_is_what_its_name_says(interpreter: Interpreter) -> None:
    kind = interpreter.name.rpartition("-")[2]
    wanted = {"stripped": ("shared", "stripped"), "symtab": ("shared", "symbols", "!debug_symbols")}
    assert interpreter.has(*wanted.get(kind, ("static", "stripped")))
    assert interpreter.has("!free_threaded")


@pytest.mark.interpreters("free_threaded", extra=True)
def test_a_free_threaded_build_says_so(interpreter: Interpreter) -> None:
    assert interpreter.name.endswith("t")


def test_pypy_is_no_interpreter() -> None:
    pypy = find_pypy()
    needs.need(pypy, "the PyPy of `make pythons`")
    with pytest.raises(LookupError, match="is no CPython that runs"):
        describe_python(Path(str(pypy)))


def test_a_target_is_heard_and_answered(interpreter: Interpreter, start_target: Callable[..., Target]) -> None:
    target = start_target(interpreter, "waits_for_line.py")
    target.send_line("hello")
    assert target.wait() == 0
    assert target.stdout.text == "ready\ngot hello\n"


def test_a_target_and_its_child_are_ended(running_python: Interpreter) -> None:
    with target_running(running_python, "starts_child.py") as target:
        child = int(target.wait_for("child").split()[1])
        assert psutil.pid_exists(child)
    with pytest.raises(ProcessLookupError):
        os.kill(target.pid, 0)
    wait_until(lambda: not _runs(child), "the killed child is gone")


def _runs(pid: int) -> bool:
    """Not gone, and no zombie: where the machine's pid 1 does not reap orphans, they stay."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_target_that_fails_shows_what_it_said(running_python: Interpreter) -> None:
    with (
        pytest.raises(AssertionError, match=r"did not say 'never'(.|\n)*ended with 0(.|\n)*stdout: ready\ngot "),
        target_running(running_python, "waits_for_line.py") as target,
    ):
        target.send_line()
        target.wait()
        target.wait_for("never")


def test_a_need_skips_and_under_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    needs.need(True, "nothing")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="missing on this machine: a gdb"):
        needs.need(False, "a gdb")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI is set: a gdb"):
        needs.need(False, "a gdb")
