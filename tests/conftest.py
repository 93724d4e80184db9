"""Fixtures of every test: the interpreters of this machine, and targets that are always ended.

@pytest.mark.interpreters("debug_symbols", "!monitoring")        only those with (without) these capabilities
@pytest.mark.interpreters(extra=True)                            also on the `extra` ones (interpreters.py)
@pytest.mark.interpreters("free_threaded", extra=True)           on free-threaded ones, which only this names
def test_x(interpreter, start_target):
    target = start_target(interpreter, "thread_waits.py")        it has said "ready" when this returns
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from environments import Environment, EnvironmentFailedError, environment_for, gevent_for, hunter_for
from harness import Target, target_running
from interpreters import Interpreter, describe_python, find_interpreters
from needs import lack

hypothesis.settings.register_profile(
    "same", deadline=None, derandomize=True, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)


def pytest_configure(config: pytest.Config) -> None:
    os.environ["LASTWORDS_CACHE"] = "off"  # no test depends on what another one has found out
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):  # golden texts are those of no terminal
        os.environ.pop(name, None)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background job, and below it
    for ignored in (signal.SIGQUIT, signal.SIGHUP):  # as is this; and that, by nohup
        signal.signal(ignored, signal.SIG_DFL)
    if not config.getoption("--hypothesis-profile"):
        hypothesis.settings.load_profile("same")  # no test fails by chance; --hypothesis-profile=default draws others
    config.addinivalue_line(
        "markers",
        "interpreters(*capabilities, minors=None, extra=False): run with those interpreters alone that have all of "
        "these capabilities (`!x`: have not), and, if given, are one of `minors` (like '2.7'); on extra ones too",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "interpreter" not in metafunc.fixturenames:
        return
    markers = list(metafunc.definition.iter_markers("interpreters"))
    chosen = find_interpreters(extra=any(marker.kwargs.get("extra") for marker in markers))
    if not any("free_threaded" in marker.args for marker in markers):
        chosen = [one for one in chosen if one.has("!free_threaded")]
    asked: list[str] = []
    for marker in markers:
        chosen = [one for one in chosen if one.has(*marker.args) and _is_minor(one, marker)]
        asked += [*marker.args, *(marker.kwargs.get("minors") or ())]
    if chosen:
        metafunc.parametrize("interpreter", chosen)
    else:
        reason = f"missing on this machine: a Python with {' '.join(asked) or 'any capability'}"
        metafunc.parametrize("interpreter", [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="none")])


def pytest_make_parametrize_id(val: object) -> str | None:
    """Wherever an interpreter is a parameter, its name is the id."""
    return val.name if isinstance(val, Interpreter) else None


def _is_minor(one: Interpreter, marker: pytest.Mark) -> bool:
    minors = marker.kwargs.get("minors")
    return minors is None or one.minor in minors


@pytest.fixture
def start_target() -> Iterator[Callable[..., Target]]:
    """start_target(interpreter, program, *arguments, env=None, ready="ready"): a Target, ended with the test."""
    with ExitStack() as targets:

        def start(*arguments: object, **options: object) -> Target:
            return targets.enter_context(target_running(*arguments, **options))  # type: ignore[arg-type]

        yield start


@pytest.fixture
def running_python() -> Interpreter:
    """The CPython that runs these tests, and lastwords."""
    return describe_python(Path(sys.executable))


@pytest.fixture
def gevent_environment(interpreter: Interpreter) -> Environment:
    """The interpreter's environment with gevent, greenlet and hunter; built if it is not there."""
    try:
        return environment_for(interpreter, *gevent_for(interpreter), *hunter_for(interpreter))
    except EnvironmentFailedError as error:
        lack(f"gevent and hunter for {interpreter.name}: {error}")
