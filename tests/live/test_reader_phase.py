"""How far a program is on its way out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import Target, wait_until
from interpreters import Interpreter as Python
from lastwords import cpython

Start = Callable[..., Target]
pytestmark = pytest.mark.interpreters("!free_threaded")


def test_waiting_for_a_thread_is_shutdown(interpreter: Python, start_target: Start) -> None:
    target = start_target(interpreter, "reader_ends.py", "thread")
    wait_until(lambda: cpython.open_process(target.pid).phase() == "shutdown", "the phase is shutdown")
    interp = cpython.open_process(target.pid)
    main = interp.threads()[-1][0]
    assert [frame.function for frame in cpython.read_stack(interp, main).frames][-1] in ("_shutdown", "_exitfunc")


def test_an_atexit_callback_is_shutdown(interpreter: Python, start_target: Start) -> None:
    target = start_target(interpreter, "reader_ends.py", "atexit")
    assert cpython.open_process(target.pid).phase() == "shutdown"


def test_module_teardown_is_finalizing(interpreter: Python, start_target: Start) -> None:
    target = start_target(interpreter, "reader_ends.py", "teardown")
    interp = cpython.open_process(target.pid)
    assert interp.phase() == "finalizing"
    stack = cpython.read_stack(interp, interp.threads()[-1][0])
    assert [frame.function for frame in stack.frames] == ["say_and_wait", "__del__"]
    assert stack.error is None
