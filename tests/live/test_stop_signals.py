"""No signal is lost in a stop, and no program sees that a system call of it was interrupted. Each check fails once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Target, wait_until
from interpreters import Interpreter
from lastwords.capture import holding, stopper
from stopping import calls, capture, look_nowhere, states, tracer

Start = Callable[..., Target]
Outcomes = dict[str, tuple[str, float]]  # by system call: "ok" or an error, and the seconds it took
CAPTURES = 100  # times three interpreters
MINORS = ("2.7", "3.12", "3.15")

PRONE = {"epoll_wait", "rt_sigtimedwait", "recvfrom", "semtimedop", "write"}
SECONDS = 8.0


def count_signals(target: Target, captures: int, *, is_killed: bool = False) -> tuple[int, int]:
    """How many signals the target sent itself while it was captured so often, and how many came.

    `is_killed`: the stopper is, each time while it holds the target.
    """

    def kill(*_: object) -> None:
        os.kill(tracer(target.pid), signal.SIGKILL)

    for _ in range(captures):
        capture(target.pid, look_nowhere, kill if is_killed else look_nowhere)
    target.send_line()
    line = target.wait_for("sent").split()
    assert target.wait() == 0
    return int(line[1]), int(line[3])


def change_stopper(monkeypatch: pytest.MonkeyPatch, folder: Path, careful: str, careless: str) -> None:
    """Captures from now on are made with a stopper that has one thing wrong."""
    text = Path(stopper.__file__).read_text()
    assert careful in text
    (folder / "stopper.py").write_text(text.replace(careful, careless))
    monkeypatch.setattr(stopper, "__file__", str(folder / "stopper.py"))


@pytest.mark.interpreters(minors=MINORS)
def test_no_signal_is_lost(interpreter: Interpreter, start_target: Start) -> None:
    sent, came = count_signals(start_target(interpreter, "stop_signals.py"), CAPTURES)
    assert sent > 3000
    assert came == sent


@pytest.mark.interpreters(minors=("3.12",))
def test_no_signal_is_lost_when_the_stopper_is_killed(interpreter: Interpreter, start_target: Start) -> None:
    sent, came = count_signals(start_target(interpreter, "stop_signals.py"), CAPTURES // 2, is_killed=True)
    assert sent > 3000
    assert came == sent


@pytest.mark.interpreters(minors=("3.12",))
@pytest.mark.parametrize(
    ("careful", "careless", "is_killed"),
    [("data=pending_signal(", "data=0 and (", False), (" | os.WNOWAIT", "", True)],
    ids=["detaches without it", "takes the stop, and is killed"],
)
def test_a_careless_stopper_loses_signals(
    interpreter: Interpreter,
    start_target: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    careful: str,
    careless: str,
    is_killed: bool,
) -> None:
    change_stopper(monkeypatch, tmp_path, careful, careless)
    sent, came = count_signals(start_target(interpreter, "stop_signals.py"), CAPTURES // 2, is_killed=is_killed)
    assert came < sent


def interrupt_often(interpreter: Interpreter, start_target: Start, seconds: float) -> tuple[int, Outcomes]:
    """How often a target was captured that waits for so long in each call, and what it says of these calls."""
    target = start_target(interpreter, "stop_interrupted.py", str(seconds))
    wait_until(lambda: states(target.pid) == {"S"} and calls(target.pid) >= PRONE | {"futex", "wait4"}, "all wait")
    end = time.monotonic() + seconds - 1
    captures = 0
    while time.monotonic() < end or not captures:
        captured = capture(target.pid, look_nowhere)
        assert all(one.stood_still for one in captured.threads)
        captures += 1
    return captures, json.loads(target.wait_for("outcomes ").removeprefix("outcomes "))


@pytest.mark.interpreters(minors=("2.7",))
def test_no_program_sees_an_interruption(interpreter: Interpreter, start_target: Start) -> None:
    captures, outcomes = interrupt_often(interpreter, start_target, SECONDS)
    assert captures > 20  # 200 on a machine that does nothing else
    assert {name: result for name, (result, _) in outcomes.items()} == dict.fromkeys(outcomes, "ok")
    assert all(SECONDS - 0.1 < seconds < SECONDS + 1.5 for _, seconds in outcomes.values()), outcomes


@pytest.mark.interpreters(minors=("2.7",))
def test_who_interrupts_every_call_is_seen(
    interpreter: Interpreter, start_target: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "RESTARTED", holding.RESTARTED | PRONE)
    _, outcomes = interrupt_often(interpreter, start_target, 1.0)
    assert {name for name, (result, _) in outcomes.items() if result != "ok"} == PRONE


@pytest.mark.interpreters(minors=("2.7",))
def test_an_interruption_that_could_not_be_helped_is_said(interpreter: Interpreter, start_target: Start) -> None:
    """A thread may begin to wait between the look at it and its interruption: rarely, in a target that does little
    else, and never unsaid."""
    target = start_target(interpreter, "stop_threads.py", "epoll", "3")
    problems = [problem for _ in range(CAPTURES // 2) for problem in capture(target.pid, look_nowhere).problems]
    said = sum("that returned EINTR" in problem for problem in problems)
    target.send_line()
    assert target.wait_for("interrupted") == f"interrupted {said}"
    assert said < CAPTURES // 4
