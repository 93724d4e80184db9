"""With each exception that is swallowed, `run` reads every thread: its stack, what it waits for, what it holds."""

from __future__ import annotations

from pathlib import Path

from harness import TARGETS
from interpreters import Interpreter
from watching import watch


def test_every_thread_is_read_beside_the_exception(interpreter: Interpreter, tmp_path: Path) -> None:
    seen = watch([interpreter.path, TARGETS / "swallows_beside_threads.py"], tmp_path, "--no-agent")
    caught = seen.the("lost")
    assert caught.exception is not None
    assert caught.exception.type in ("ValueError", "exceptions.ValueError")
    assert [frame.line for frame in caught.exception.traceback] == [13]
    assert caught.python_stack
    threads = {thread.name: thread for thread in seen.report.threads if thread.moment == caught.moment}
    assert set(threads) == {"MainThread", "holder", "waiter"}
    assert caught.thread == threads["MainThread"].id
    assert threads["MainThread"].holds_gil
    assert threads["waiter"].stack[0].function == "want"
    assert "hold" in [frame.function for frame in threads["holder"].stack]
    assert all(thread.consistent for thread in threads.values())
    wait = threads["waiter"].waits_for
    assert wait is not None
    assert (wait.kind, wait.certainty) == ("lock", "certain")
    assert threads["holder"].holds == [wait.target]
    (lock,) = [one for one in seen.report.objects if one.id == wait.target]
    assert (lock.name, lock.locked) == ("__main__.lock", True)
    blocked = threads["holder"].waits_for
    assert blocked is not None
    assert (blocked.kind, blocked.certainty) == ("event", "certain")
