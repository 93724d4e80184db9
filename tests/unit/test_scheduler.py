"""How long threads have slept: read of live threads, and over a recorded /proc."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lastwords.capture.kernel.scheduler import Slept, find_undisturbed, read_slept

ACCOUNT = Path("/proc/self/sched")
SCHED = """python3 (7, #threads: 1)
-------------------------------------------------------------------
se.exec_start                                :       {ran:.6f}
se.vruntime                                  :         60680.408593
nr_switches                                  :                   {switches}
"""


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A /proc in which we ran at second 100, thread 8 at second 90, and thread 9 has no account."""
    for place, ran, switches in ((f"self/task/{threading.get_native_id()}", 100_000.0, 5), ("7/task/8", 90_000.5, 3)):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "sched").write_text(SCHED.format(ran=ran, switches=switches))
    return tmp_path


def test_seconds_since_a_thread_ran(recorded: Path) -> None:
    assert read_slept(7, [8, 9], recorded) == {8: Slept(9.9995, 3)}


def test_without_the_account_nothing_is_told(tmp_path: Path) -> None:
    assert read_slept(7, [8], tmp_path) == {}


@pytest.mark.skipif(not ACCOUNT.exists(), reason="this kernel keeps no /proc/PID/sched (CONFIG_SCHED_DEBUG)")
def test_a_thread_that_sleeps_and_one_that_is_woken() -> None:
    wake, woken, end = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        wake.wait()
        woken.set()
        end.wait()

    thread = threading.Thread(target=work)
    thread.start()
    tid = thread.native_id or 0
    while read_slept(os.getpid(), [tid])[tid].seconds < 0.05:  # until it has slept for a while
        pass
    before = read_slept(os.getpid(), [tid])
    assert find_undisturbed(before, read_slept(os.getpid(), [tid])) == {tid: before[tid].seconds}
    wake.set()
    woken.wait()
    assert read_slept(os.getpid(), [tid])[tid].seconds < before[tid].seconds
    end.set()
    thread.join()
    assert read_slept(os.getpid(), [tid]) == {}


def test_what_ran_meanwhile_is_not_told() -> None:
    before = {1: Slept(5.0, 10), 2: Slept(5.0, 10), 3: Slept(5.0, 10), 4: Slept(5.0, 10)}
    after = {1: Slept(5.1, 10), 2: Slept(0.0, 12), 3: Slept(0.0, 13)}
    assert find_undisturbed(before, after) == {1: 5.0, 2: 5.0}
