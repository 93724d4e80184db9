"""A target survives what happens to us and to the stopper: killed or frozen at any instant, it runs on."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from harness import Target, running, wait_until
from interpreters import Interpreter
from lastwords.capture.architectures import this_machine
from lastwords.capture.procfs import ProcessGoneError
from lastwords.capture.stop import stopper
from lastwords.capture.stop.holding import Holder
from lastwords.capture.stop.live import HOLD_SECONDS
from lastwords.capture.stop.stopper import KILL_SECONDS
from stopping import COMMAND, capture, kill_stoppers, look_nowhere, states, tracer

Start = Callable[..., Target]
few = pytest.mark.interpreters(minors=("2.7", "3.11", "3.15"))
TRIES = 40
LINGER = 0.01  # seconds that each capture takes, so that there is something to hit
SLACK = 10.0  # a busy machine's


class Ticking:
    """A target that ticks, and says how often and with which gaps."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.pid = target.pid
        self.asked = 0

    def longest_gap(self) -> float:
        """Seconds between two ticks since this was asked last; the target ticks now."""
        self.target.send_line()
        line = self.target.wait_for(f"told {self.asked}:", timeout=KILL_SECONDS + 10)
        self.asked += 1
        return float(line.split()[-1])

    def check(self) -> None:
        """It is as if nobody had ever looked at it."""
        wait_until(lambda: not states(self.pid) & {"t", "T"} and not tracer(self.pid), "it was let go")
        assert self.longest_gap() < KILL_SECONDS

    def end(self) -> None:
        """By itself, with its own exit code."""
        assert self.target.process.stdin is not None
        self.target.process.stdin.close()
        assert self.target.wait() == 7


@pytest.fixture
def ticking(interpreter: Interpreter, start_target: Start) -> Ticking:
    return Ticking(start_target(interpreter, "stop_ticks.py"))


@few
def test_we_are_killed_at_any_instant(ticking: Ticking) -> None:
    chance = random.Random(3)
    for number in range(12):
        with running([*COMMAND, str(ticking.pid), str(LINGER)]) as ours:
            ours.wait_for("held")
            time.sleep(chance.uniform(0, 0.1) if number else 0)
            os.kill(ours.pid, signal.SIGKILL)
        ticking.check()
    ticking.end()


@few
def test_the_stopper_is_killed_at_any_instant(ticking: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    timers = kill_stoppers(monkeypatch, 2 * LINGER)
    for number in range(15):
        captured = capture(
            ticking.pid, recheck=lambda *_, once=not number: timers[-1].join() if once else time.sleep(LINGER)
        )
        assert captured.problems or number, "the first is killed while it holds"
        timers[-1].join()
        ticking.check()
        if captured.problems and captured.pause_ms is not None:
            assert not any(one.stood_still for one in captured.threads)
    ticking.end()


def freeze(victims: str, pid: int, ours: int) -> bool:
    """Stops who holds a process, or whoever has it held, or both; not when they let it go meanwhile."""
    stopper = tracer(pid)
    if not stopper:  # os.kill(0, ...) would stop ourselves
        return False
    chosen = {"us": [ours], "stopper": [stopper], "both": [ours, stopper]}[victims]
    for one in chosen:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGSTOP)
    wait_until(lambda: all(map(is_frozen, chosen)), "they are stopped")
    if tracer(pid) == stopper:
        return True
    for one in chosen:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGCONT)
    return False


def is_frozen(pid: int) -> bool:
    """Whether it is stopped, or has ended."""
    try:
        return states(pid) <= {"T"}
    except ProcessGoneError:
        return True


@few
def test_who_is_frozen_holds_nobody(interpreter: Interpreter, start_target: Start) -> None:
    """Three at once: we are frozen, the stopper is, both are."""
    expected = {"us": HOLD_SECONDS, "stopper": KILL_SECONDS, "both": KILL_SECONDS}
    targets = {name: Ticking(start_target(interpreter, "stop_ticks.py")) for name in expected}
    ours = {
        name: start_target(COMMAND[0], COMMAND[1], str(one.pid), "0.5", ready="held") for name, one in targets.items()
    }
    for name, target in targets.items():
        wait_until(partial(freeze, name, target.pid, ours[name].pid), "it is held, and who is to be frozen is")
    for name, target in targets.items():
        gap = target.longest_gap()
        assert gap < expected[name] + SLACK
        if name != "us":
            assert gap > KILL_SECONDS - 0.7
    for one in ours.values():
        one.end()
    for target in targets.values():
        target.check()
        target.end()


@pytest.mark.interpreters(minors=("3.15",))
def test_only_the_kernel_ends_a_stopper_that_is_frozen(
    ticking: Ticking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopper with a kernel's timer that is far away keeps the target until we end it."""
    patient = Path(stopper.__file__).read_text().replace(f"KILL_SECONDS = {KILL_SECONDS}", "KILL_SECONDS = 60")
    (tmp_path / "stopper.py").write_text(patient)
    monkeypatch.setattr(stopper, "__file__", str(tmp_path / "stopper.py"))
    with Holder() as holder:
        holder.hold(ticking.pid, this_machine(), HOLD_SECONDS)
        os.kill(holder.pid, signal.SIGSTOP)
        time.sleep(KILL_SECONDS + 0.3)  # what must not happen takes its time
        assert tracer(ticking.pid) == holder.pid
    assert ticking.longest_gap() > KILL_SECONDS
    ticking.check()
    ticking.end()


def test_a_stop_takes_as_long_as_it_says(start_target: Start, running_python: Interpreter) -> None:
    ticking = Ticking(start_target(running_python, "stop_ticks.py"))
    agree: list[bool] = []
    while not any(agree):  # who is kept from telling the time for 5 ms tells another one
        assert len(agree) < TRIES
        ticking.longest_gap()
        captured = capture(ticking.pid, look_nowhere, lambda *_: time.sleep(0.2))
        assert captured.pause_ms is not None
        assert captured.pause_ms >= 200
        agree.append(captured.pause_ms <= ticking.longest_gap() * 1000 + 5)
    ticking.end()
