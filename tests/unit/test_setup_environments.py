"""The environments hold what was asked for, for that interpreter, and are built once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import environments
from environments import Environment, EnvironmentFailedError, environment_for, gevent_for
from interpreters import Interpreter

QUESTION = """\
import os, sys
import gevent, greenlet, hunter
greenlet.greenlet(lambda: None).switch()
print(os.path.realpath('/proc/self/exe'))
print(gevent.__version__)
"""


def test_gevent_and_hunter_work_in_it(interpreter: Interpreter, gevent_environment: Environment) -> None:
    said = subprocess.run(
        [gevent_environment.python, "-c", QUESTION],
        env={**os.environ, **gevent_environment.env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    executable, version = said.stdout.split()
    assert executable == str(interpreter.path)
    asked = dict(one.split("==") for one in gevent_for(interpreter) if "==" in one).get("gevent", version)
    assert version == asked


def test_it_is_built_once(interpreter: Interpreter, gevent_environment: Environment) -> None:
    before = (gevent_environment.root / "ready").stat().st_mtime_ns
    packages = (gevent_environment.root / "ready").read_text().split()
    again = environment_for(interpreter, *packages)
    assert again == gevent_environment
    assert (again.root / "ready").stat().st_mtime_ns == before


def test_what_pip_cannot_install_is_a_message(
    running_python: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path)
    with pytest.raises(EnvironmentFailedError, match=r"^\S+: `.*` ended with 1\nERROR: .*not a requirement"):
        environment_for(running_python, "not a requirement")
