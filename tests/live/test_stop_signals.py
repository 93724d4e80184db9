"""No signal is lost in a stop, and no program sees that a system call of it was interrupted. Each check fails once."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Target, running, wait_until
from interpreters import Interpreter
from lastwords.capture.stop import holding, stopper
from lastwords.capture.stop.live import Recheck
from stopping import calls, capture, look_nowhere, states

Start = Callable[..., Target]
Outcomes = dict[str, tuple[str, float]]  # by system call: "ok" or an error, and the seconds it took
CAPTURES = 100  # times three interpreters

PRONE = {"epoll_wait", "rt_sigtimedwait", "recvfrom", "semtimedop", "write"}
SECONDS = 8.0
LATE = 5.0  # seconds that a wait may end late on a machine under load; one that began anew ends 7 s late


def end_signals(target: Target) -> tuple[int, int]:
    """How many signals the target sent itself, and how many came."""
    target.send_line()
    line = target.wait_for("sent").split()
    assert target.wait() == 0
    return int(line[1]), int(line[3])


@pytest.mark.interpreters(minors=("2.7", "3.12", "3.15"))
def test_no_signal_is_lost(interpreter: Interpreter, start_target: Start) -> None:
    target = start_target(interpreter, "stop_signals.py")
    for _ in range(CAPTURES):
        assert capture(target.pid, look_nowhere).problems == []
    sent, came = end_signals(target)
    assert sent > 3000
    assert came == sent


HOLD = """
import os, runpy, signal, sys, time
pid = int(sys.argv[2])
stop = runpy.run_path(sys.argv[1])["Stop"](pid, frozenset(), frozenset())
stop._seize(pid)
while not stop._has_stopped(pid):
    time.sleep(0.001)
assert stop.stops[pid] in (signal.SIGUSR1, 40), stop.stops
if sys.argv[3] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
stop.release()
"""


@pytest.mark.interpreters(minors=("3.12",))
@pytest.mark.parametrize("end", ["lets go", "killed"])
@pytest.mark.parametrize(
    ("careful", "careless", "lost"),
    [("", "", ()), ("data=pending_signal(", "data=0 and (", ("lets go",)), (" | os.WNOWAIT", "", ("killed",))],
    ids=["careful", "detaches without it", "takes the stop"],
)
def test_a_signal_on_its_way_is_lost_by_a_careless_stopper_alone(
    interpreter: Interpreter,
    start_target: Start,
    tmp_path: Path,
    careful: str,
    careless: str,
    lost: tuple[str, ...],
    end: str,
) -> None:
    text = Path(stopper.__file__).read_text()
    assert careful in text
    (tmp_path / "stopper.py").write_text(text.replace(careful, careless))
    target = start_target(interpreter, "stop_signals.py")
    with running([sys.executable, "-c", HOLD, tmp_path / "stopper.py", str(target.pid), end]) as held:
        assert held.wait() == (-signal.SIGKILL if end == "killed" else 0), held.describe()
    sent, came = end_signals(target)
    assert sent - came == (end in lost)


def interrupt_often(
    interpreter: Interpreter, start_target: Start, seconds: float, once: bool = False
) -> tuple[int, Outcomes]:
    """How often a target was captured that waits for so long in each call, and what it says of these calls."""
    target = start_target(interpreter, "stop_interrupted.py", str(seconds))
    wait_until(lambda: states(target.pid) == {"S"} and calls(target.pid) >= PRONE | {"futex", "wait4"}, "all wait")
    end = time.monotonic() + (0 if once else seconds - 1)
    captures = 0
    while time.monotonic() < end or not captures:
        captured = capture(target.pid, look_nowhere)
        assert all(one.stood_still for one in captured.threads)
        captures += 1
    return captures, json.loads(target.wait_for("outcomes ").removeprefix("outcomes "))


@pytest.mark.interpreters(minors=("2.7",))
def test_no_program_sees_an_interruption(interpreter: Interpreter, start_target: Start) -> None:
    captures, outcomes = interrupt_often(interpreter, start_target, SECONDS)
    assert captures > 3  # 200 on a machine that does nothing else
    assert {name: result for name, (result, _) in outcomes.items()} == dict.fromkeys(outcomes, "ok")
    assert all(SECONDS - 0.1 < seconds < SECONDS + LATE for _, seconds in outcomes.values()), outcomes


@pytest.mark.interpreters(minors=("2.7",))
def test_who_interrupts_every_call_is_seen(
    interpreter: Interpreter, start_target: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "RESTARTED", holding.RESTARTED | PRONE)
    _, outcomes = interrupt_often(interpreter, start_target, 4.0, once=True)
    assert {name for name, (result, _) in outcomes.items() if result != "ok"} == PRONE


@pytest.mark.interpreters(minors=("2.7",))
def test_an_interruption_that_could_not_be_helped_is_said(interpreter: Interpreter, start_target: Start) -> None:
    """A thread may begin to wait between the look at it and its interruption: rarely, in a target that does little
    else, and never unsaid."""
    target = start_target(interpreter, "stop_threads.py", "epoll", "3")
    problems = [problem for _ in range(CAPTURES // 2) for problem in capture(target.pid, look_nowhere).problems]
    said = sum("returns EINTR" in problem for problem in problems)
    target.send_line()
    assert target.wait_for("interrupted") == f"interrupted {said}"
    assert said < CAPTURES // 4


def stop_and_look(target: Target, recheck: Recheck = look_nowhere) -> None:
    """Stops it as Ctrl-Z does, and captures it."""
    os.kill(target.pid, signal.SIGSTOP)
    wait_until(lambda: states(target.pid) == {"T"}, "it is stopped")
    captured = capture(target.pid, look_nowhere, recheck)
    assert "T" in {one.state for one in captured.threads if one.registers}, "some stood still already"


@pytest.mark.interpreters(minors=("2.7", "3.15"))
def test_who_is_told_to_go_on_meanwhile_goes_on(interpreter: Interpreter, start_target: Start) -> None:
    """The end of a stop by a signal comes while we hold the process: it counts. And without one it stays stopped."""
    target = start_target(interpreter, "stop_threads.py", "wait", "3")
    for _ in range(3):
        stop_and_look(target, lambda *_: os.kill(target.pid, signal.SIGCONT))
        wait_until(lambda: not states(target.pid) & {"t", "T"}, "it goes on")
        stop_and_look(target)
        wait_until(lambda: states(target.pid) == {"T"}, "it is stopped again")
    os.kill(target.pid, signal.SIGCONT)
    target.send_line()
    assert target.wait() == 7


@pytest.mark.interpreters(minors=("3.15",))
def test_who_stops_it_again_as_it_was_is_seen(
    interpreter: Interpreter, start_target: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = "        return time.monotonic() - self.since if self.since else 0.0"
    again = "        if signal.SIGSTOP | 128 << 8 in self.stops.values(): os.kill(self.pid, signal.SIGSTOP)"
    text = Path(stopper.__file__).read_text()
    assert text.count(release) == 1
    (tmp_path / "stopper.py").write_text(text.replace(release, f"{again}\n{release}"))
    monkeypatch.setattr(stopper, "__file__", str(tmp_path / "stopper.py"))
    target = start_target(interpreter, "stop_threads.py", "wait", "3")
    stop_and_look(target, lambda *_: os.kill(target.pid, signal.SIGCONT))
    wait_until(lambda: states(target.pid) == {"T"}, "it is stopped, though it was told to go on")
