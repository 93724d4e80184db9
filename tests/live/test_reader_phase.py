"""How far a program is on its way out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import Target, wait_until, wait_until_at_rest
from interpreters import Interpreter as Python
from lastwords import cpython
from lastwords.capture import procfs
from lastwords.capture.captured import KernelThread
from lastwords.capture.memory import ReadError
from lastwords.cpython.finalize import read_step
from lastwords.cpython.threads import read_threads

Start = Callable[..., Target]
pytestmark = pytest.mark.interpreters("!free_threaded")


def wait_for_function(target: Target, *names: str) -> cpython.Interpreter:
    """The interpreter once the main thread is in one of these functions."""

    def is_there() -> bool:
        try:
            return not set(names).isdisjoint(main_functions(cpython.open_process(target.pid)))
        except ReadError:  # it runs while it is read
            return False

    wait_until(is_there, f"the main thread is in {' or '.join(names)}")
    wait_until_at_rest(target.pid)
    return cpython.open_process(target.pid)


def main_functions(interp: cpython.Interpreter) -> list[str | None]:
    main = interp.threads()[-1][0]
    return [frame.function for frame in cpython.read_stack(interp, main).frames]


def test_waiting_for_a_thread_is_shutdown(interpreter: Python, start_target: Start) -> None:
    interp = wait_for_function(start_target(interpreter, "reader_ends.py", "thread"), "_shutdown", "_exitfunc")
    assert interp.phase() == "shutdown"
    assert main_functions(interp)[-1] in ("_shutdown", "_exitfunc")
    assert read_step(interp) == "threading._shutdown"


def test_an_atexit_callback_is_shutdown(interpreter: Python, start_target: Start) -> None:
    interp = cpython.open_process(start_target(interpreter, "reader_ends.py", "atexit").pid)
    assert interp.phase() == "shutdown"
    assert read_step(interp) == "atexit"
    assert main_functions(interp)[0] == "say_and_wait"


@pytest.mark.interpreters(minors=("2.7", "3.13", "3.14", "3.15"))
def test_an_atexit_callback_without_threading(interpreter: Python, start_target: Start) -> None:
    """The other releases tell nothing of it but through `threading`: there it reads as running."""
    interp = cpython.open_process(start_target(interpreter, "reader_ends.py", "alone").pid)
    assert (interp.phase(), read_step(interp)) == ("shutdown", "atexit")


@pytest.mark.interpreters("concurrent")
def test_waiting_for_a_pool_is_the_step_that_runs_its_callback(interpreter: Python, start_target: Start) -> None:
    interp = wait_for_function(start_target(interpreter, "reader_ends.py", "pool"), "_python_exit")
    assert interp.phase() == "shutdown"
    is_within = main_functions(interp)[-1] == "_shutdown"
    assert read_step(interp) == ("threading._shutdown" if is_within else "atexit")


def test_module_teardown_is_finalizing(interpreter: Python, start_target: Start) -> None:
    target = start_target(interpreter, "reader_ends.py", "teardown")
    interp = cpython.open_process(target.pid)
    assert interp.phase() == "finalizing"
    assert read_step(interp) is None
    stack = cpython.read_stack(interp, interp.threads()[-1][0])
    assert [frame.function for frame in stack.frames] == ["say_and_wait", "__del__"]
    assert stack.error is None


def test_finalization_ends_all_other_threads(interpreter: Python, start_target: Start) -> None:
    """2.7 lets them run on; from 3.9 on it takes their states away at once."""
    target = start_target(interpreter, "reader_ends.py", "teardown")
    kernel = [KernelThread(tid=tid) for tid in procfs.read_tasks(target.pid)]
    threads = read_threads(cpython.open_process(target.pid), kernel)
    assert [thread.finishing for thread in threads if thread.is_main] == [False]
    others = [thread.finishing for thread in threads if not thread.is_main]
    assert others in ([[False]] if interpreter.minor == "2.7" else [[True], []])
