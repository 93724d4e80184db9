"""With each exception that is swallowed, `run` reads every thread: its stack, what it waits for, what it holds."""

from __future__ import annotations

from pathlib import Path

from harness import TARGETS
from interpreters import Interpreter
from lastwords.frames import python_frames
from lastwords.model import Thread
from lastwords.native.merge import LOOP, OLD_LOOP, PART_OF_LOOP, base_name
from watching import watch

BEYOND_MAIN = 3  # C frames outside of main(), where gdb ends
JUMPS = "PyRun_AnyFileExFlags"  # to the next function: its frame, which is gone by then, is made up by gdb


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
    assert python_frames(threads["waiter"].stack)[0].function == "want"
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
    check_c_stacks(threads["MainThread"], [threads["waiter"], threads["holder"]], interpreter)


def check_c_stacks(held: Thread, others: list[Thread], interpreter: Interpreter) -> None:
    """The thread that gdb holds: our frames are gdb's, but for the interpreter's loop, which Python's replace."""
    gdb = [frame for frame in held.c_stack_gdb or [] if not frame.inlined]
    ours = [frame.address for frame in held.stack if frame.kind == "native" and not frame.inlined]
    both = [frame.address for frame in gdb if frame.address in ours]
    assert (held.error, held.native_stack) == (None, None)
    assert len(both) > 5
    assert both == ours[: len(both)]
    assert len(ours) - len(both) <= BEYOND_MAIN
    alone = {base_name(frame.function) for frame in gdb if frame.address not in both}
    assert all(name in ("", LOOP, OLD_LOOP, JUMPS) or name.startswith(PART_OF_LOOP) for name in alone), alone
    for thread in others:
        assert thread.error is None or interpreter.has("musl"), thread.error
        assert [frame.kind for frame in thread.stack if not frame.inlined].count("native") > 5
        assert thread.stack[0].kind == thread.stack[-1].kind == "native"
