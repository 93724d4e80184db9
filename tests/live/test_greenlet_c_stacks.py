"""A parked greenlet's C frames are at the same places as those that gdb finds when the same greenlet runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from environments import Environment
from gdb_stacks import build_extension, gdb_outline, outline, read_gdb_stacks
from harness import TARGETS, running, wait_until_at_rest
from interpreters import Interpreter
from lastwords.examine import Options, attach_process
from lastwords.frames import python_frames
from lastwords.model import Frame

FUNCTIONS = ["park", "by_ctypes", "by_extension", "<lambda>", "by_sorted"]
DEPTH = 5  # the target's: calls of the extension to itself


@pytest.mark.interpreters("ctypes", "!musl", "!free_threaded")
def test_gdb_finds_the_same_frames_when_it_runs(
    interpreter: Interpreter, gevent_environment: Environment, tmp_path: Path
) -> None:
    folder = build_extension(interpreter, tmp_path)
    command: list[str | Path] = [gevent_environment.python, TARGETS / "greenlets_in_c.py", *folder]
    with running(command, env=gevent_environment.env) as target:
        address = int(target.wait_for("greenlet ").split()[1])
        target.wait_for("ready")
        wait_until_at_rest(target.pid)
        report = attach_process(target.pid, Options(native_each=True))
        target.send_line()
        target.wait_for("runs")
        wait_until_at_rest(target.pid)
        theirs = read_gdb_stacks(target.pid, tmp_path)[target.pid]
    (parked,) = [one for one in report.greenlets if one.address == address]
    assert (parked.state, parked.native_stack, parked.error) == ("suspended", None, None)
    names = [frame.function for frame in parked.stack]
    assert names.count("call_deeper") == (DEPTH + 1 if folder else 0), names
    assert [one.function for one in python_frames(parked.stack)] == FUNCTIONS
    ours = below_park(outline(parked.stack))
    assert ours[-1] == end_of(parked.stack), names
    found = gdb_outline(theirs, parked.stack)
    begins = [at for at, one in enumerate(found) if one == ours[0]]  # above it waits, which is another thing then
    assert ours in [found[at : at + len(ours)] for at in begins], (ours, found)
    assert ours.count("python") >= (3 if folder else 2), names


def below_park(items: Sequence[int | str]) -> list[int | str]:
    """What called the Python function that waits."""
    return list(items[items.index("python") + 1 :])


def end_of(frames: Sequence[Frame]) -> int | None:
    """The place in greenlet's code at which each greenlet begins, the last of its frames."""
    return next(frame.address for frame in reversed(frames) if frame.kind == "native" and not frame.inlined)
