"""A program with the agent in it does, says and is what it is without."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from environments import Environment
from harness import TARGETS
from interpreters import Interpreter
from lastwords.capture.agent import Channel
from lastwords.capture.agent_records import Said

PLAIN = [
    "plain",
    "one_thread",
    "late_thread",
    "thread_error",
    "unprintable_error",
    "exit_code",
    "uncaught",
    "atexit_error",
    "shutdown_error",
    "no_module",
    "forks",
    "subprocess_",
    "descriptors",
    "reused_descriptor",
    "killed",
    "reloads",
]
WITH_GEVENT = ["original", "patched_late", "greenlet_error", "hub_error"]


def bare(environment: Environment, arguments: list[str], cwd: Path) -> tuple[int, str, str]:
    return _run(environment, arguments, cwd, dict(os.environ), ())


def watched(environment: Environment, arguments: list[str], cwd: Path) -> tuple[tuple[int, str, str], Said]:
    with Channel() as channel:
        result = _run(environment, arguments, cwd, dict(os.environ), channel.fds, channel)
        return result, channel.read()


def _run(
    environment: Environment,
    arguments: list[str],
    cwd: Path,
    environ: dict[str, str],
    fds: tuple[int, ...],
    channel: Channel | None = None,
) -> tuple[int, str, str]:
    environ |= environment.env
    if channel is not None:
        environ = channel.environ(environ)
    done = subprocess.run(
        [str(environment.python), *arguments],
        env=environ,
        pass_fds=fds,
        cwd=cwd,
        capture_output=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, _without_numbers(done.stdout), _without_numbers(done.stderr)


def _without_numbers(output: bytes) -> str:
    """Addresses, idents and times differ from run to run."""
    return re.sub(r"0x[0-9a-f]+|\d{5,}|\d\d:\d\d:\d\d", "N", output.decode(errors="backslashreplace"))


@pytest.mark.parametrize("scenario", PLAIN)
def test_a_program_is_as_without_the_agent(
    interpreter: Interpreter, gevent_environment: Environment, scenario: str, tmp_path: Path
) -> None:
    arguments = [str(TARGETS / "agent_state.py"), scenario]
    without = bare(gevent_environment, arguments, tmp_path)
    with_agent, said = watched(gevent_environment, arguments, tmp_path)
    assert with_agent == without
    assert said.hellos, said.problems


@pytest.mark.parametrize("scenario", WITH_GEVENT)
def test_a_program_with_gevent_is_as_without_the_agent(
    interpreter: Interpreter, gevent_environment: Environment, scenario: str, tmp_path: Path
) -> None:
    if scenario == "patched_late" and interpreter.version < (3,):
        pytest.skip("gevent 1.0.2 lets this program end in two ways, whoever watches: its join races with the worker")
    arguments = [str(TARGETS / "agent_state.py"), scenario]
    without = bare(gevent_environment, arguments, tmp_path)
    with_agent, said = watched(gevent_environment, arguments, tmp_path)
    assert with_agent == without
    assert said.libraries
