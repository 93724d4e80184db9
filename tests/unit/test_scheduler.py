"""How long threads have slept: read of live threads, and over a recorded /proc."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from lastwords.capture.kernel.scheduler import Slept, carry_over, find_undisturbed, read_slept

SLACK = 0.02  # seconds: the account of who runs is brought up to date by the clock's interrupt
ACCOUNT = Path("/proc/self/sched")
SCHED = """python3 (7, #threads: 1)
-------------------------------------------------------------------
se.exec_start                                :       {ran:.6f}
se.vruntime                                  :         60680.408593
nr_switches                                  :                 990099
nr_voluntary_switches                        :                   {switches}
nr_involuntary_switches                      :                 990000
"""


HERE = min(os.sched_getaffinity(0))


def record(proc: Path, task: str, ran: float, switches: int, processor: int) -> None:
    """A thread's account in a recorded /proc."""
    (proc / task).mkdir(parents=True)
    (proc / task / "sched").write_text(SCHED.format(ran=ran, switches=switches))
    (proc / task / "stat").write_text(f"8 (a) b) S {'0 ' * 35}{processor} 0 0")


def test_seconds_since_a_thread_ran(tmp_path: Path) -> None:
    record(tmp_path, f"self/task/{threading.get_native_id()}", 100_000.0, 5, HERE)
    record(tmp_path, "7/task/8", 90_000.5, 3, HERE)
    record(tmp_path, "7/task/9", 90_000.5, 4, 4095)
    allowed = os.sched_getaffinity(0)
    assert read_slept(7, [8, 9, 10], tmp_path) == {8: Slept(3, 9.9995), 9: Slept(4, None)}
    assert os.sched_getaffinity(0) == allowed


def test_a_clock_that_is_not_the_processors_own_is_not_used(tmp_path: Path) -> None:
    record(tmp_path, f"self/task/{threading.get_native_id()}", 100_000.0, 5, 4095)
    record(tmp_path, "7/task/8", 90_000.5, 3, HERE)
    assert read_slept(7, [8], tmp_path) == {8: Slept(3, None)}


def test_without_the_account_nothing_is_told(tmp_path: Path) -> None:
    assert read_slept(7, [8], tmp_path) == {}


def seconds(tid: int) -> float:
    """How long a thread of ours has slept."""
    return read_slept(os.getpid(), [tid])[tid].seconds or 0.0


@pytest.mark.skipif(not ACCOUNT.exists(), reason="this kernel keeps no /proc/PID/sched (CONFIG_SCHED_DEBUG)")
def test_a_thread_that_sleeps_and_one_that_is_woken() -> None:
    wake, woken, end = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        wake.wait()
        woken.set()
        end.wait()

    thread = threading.Thread(target=work)
    begun = time.monotonic()
    thread.start()
    tid = thread.native_id or 0
    while seconds(tid) < 0.05:  # until it has slept for a while
        pass
    before = read_slept(os.getpid(), [tid])
    assert seconds(tid) <= time.monotonic() - begun + SLACK
    assert find_undisturbed(before, read_slept(os.getpid(), [tid])) == {tid: before[tid].seconds}
    wake.set()
    woken.wait()
    assert read_slept(os.getpid(), [tid])[tid].switches > before[tid].switches
    end.set()
    thread.join()
    while read_slept(os.getpid(), [tid]):  # the kernel has it a moment longer than the interpreter
        pass


def test_what_ran_meanwhile_has_slept_for_no_time() -> None:
    before = {1: Slept(10, 5.0), 2: Slept(10, 5.0), 3: Slept(10, 5.0), 4: Slept(10, 5.0), 5: Slept(10)}
    after = {1: Slept(10, 5.1), 2: Slept(12, 0.0), 3: Slept(13, 0.0), 5: Slept(10, 1.0)}
    assert find_undisturbed(before, after) == {1: 5.0, 2: 5.0, 3: 0.0}


def test_an_earlier_capture_is_not_counted_as_a_turn_of_the_thread() -> None:
    before = {1: Slept(10, 5.0), 2: Slept(10, 5.0), 3: Slept(10, 5.0), 4: Slept(10)}
    now = {1: Slept(10, 5.1), 2: Slept(12, 0.1), 3: Slept(13, 0.2), 4: Slept(12, 0.3), 6: Slept(1, 0.4)}
    carried = {1: Slept(10, 5.1), 2: Slept(12, 5.0), 3: Slept(13, 0.2), 4: Slept(12, 0.3), 6: Slept(1, 0.4)}
    assert carry_over(before, now) == carried
    assert carry_over({}, now) == now
