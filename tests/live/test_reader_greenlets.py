"""What gevent's get_ident() would return, read without a call, against what it returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from environments import Environment
from harness import TARGETS, running
from lastwords import cpython


@pytest.mark.interpreters("!free_threaded")
@pytest.mark.parametrize("place", ["main", "spawned"])
def test_the_current_ident_is_that_of_the_running_greenlet(gevent_environment: Environment, place: str) -> None:
    command: list[str | Path] = [gevent_environment.python, TARGETS / "reader_greenlets.py", place]
    with running(command, env=gevent_environment.env) as target:
        ident, active, module = json.loads(target.wait_for("facts ").removeprefix("facts "))
        target.wait_for("ready")
        interp = cpython.open_process(target.pid)
        native = interp.threads()[-1][1]  # the main thread is the oldest
        state = cpython.read_threading(interp, native)
        assert state.error is None
        assert (state.get_ident, state.get_ident_module, state.patched) == ("get_ident", module, True)
        assert state.current_ident == ident
        assert [one.key for one in state.active] == active
        assert not any(one.is_native for one in state.active)
        assert state.native_ident == native != ident
