"""What stands still while a process is captured, what is known of it then, and that it is left as it was."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness import Target, running, wait_until, wait_until_at_rest
from interpreters import Interpreter
from lastwords import cpython
from lastwords.capture import procfs
from lastwords.capture.architectures import this_machine
from lastwords.capture.captured import KernelThread, StackPointer
from lastwords.capture.kernel.scheduler import read_slept
from lastwords.capture.memory import CachedMemory, Memory, ReadError
from lastwords.capture.stop.holding import Holder
from lastwords.capture.stop.live import HOLD_SECONDS
from lastwords.capture.stop.stopper import BUSY_SECONDS
from lastwords.cpython.interpreter import find_image, open_image
from lastwords.errors import TargetError
from lastwords.examine import Options
from lastwords.examine.process import Attached
from lastwords.model import Frame
from stopping import calls, capture, look_nowhere, states, tracer

Start = Callable[..., Target]
LONG = 1.0
few = pytest.mark.interpreters(minors=("2.7", "3.12", "3.15"))


def waiting(interpreter: Interpreter, start_target: Start) -> tuple[Target, dict[str, int]]:
    """A target whose threads wait, each in its own way, and the idents of these."""
    target = start_target(interpreter, "stop_waits.py")
    wait_until_at_rest(target.pid)
    idents = json.loads(target.wait_for("idents ").removeprefix("idents "))
    return target, idents


def test_threads_stand_still_and_the_copy_is_what_was_there(interpreter: Interpreter, start_target: Start) -> None:
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    target, idents = waiting(interpreter, start_target)
    image = find_image(target.pid, procfs.read_maps(target.pid))
    before = calls(target.pid)

    def read(memory: Memory, threads: Sequence[KernelThread] = ()) -> list[list[Frame]]:
        interp = open_image(target.pid, CachedMemory(memory), image)
        return [cpython.read_stack(interp, address).frames for address, _, _ in interp.threads()]

    expected = read(capture(target.pid, read, look_nowhere, pause=False).memory)
    for _ in range(3):  # what was interrupted once is in the same calls, by name
        captured = capture(target.pid, read)
        assert captured.problems == []
        assert all(thread.stood_still for thread in captured.threads)
        assert {one.syscall.name for one in captured.threads if one.syscall} == before
        assert read(captured.memory) == expected
        known = {one.ident for one in captured.threads if one.registers}
        assert known == {ident for name, ident in idents.items() if name != "epoll_wait"}
    assert captured.pause_ms is not None
    assert 0 < captured.pause_ms < HOLD_SECONDS * 1000
    assert captured.size
    assert captured.method == f"stopped for {captured.pause_ms:.1f} ms, process_vm_readv"
    with pytest.raises(ReadError, match="not captured"):
        captured.memory.read(captured.maps[-2].start, 8)
    target.send_line()
    assert target.wait() == 7


@few
def test_a_thread_in_a_call_that_would_tell_is_left_alone_and_known(
    interpreter: Interpreter, start_target: Start
) -> None:
    target, _ = waiting(interpreter, start_target)
    captured = capture(target.pid)
    [thread] = [one for one in captured.threads if one.syscall and one.syscall.name == "epoll_wait"]
    seen = procfs.read_task_call(target.pid, thread.tid)
    assert seen is not None
    assert (thread.sp, thread.pc, thread.registers, thread.ident) == (seen.sp, seen.pc, {}, None)
    assert thread.stood_still
    assert thread.state == "S"
    for one in captured.threads:  # their stacks are there, the innermost frames at least
        assert one.sp
        assert captured.memory.read(one.sp - 128, 256)
        assert one.fp_registers == b""  # nobody has asked for them
    assert captured.problems == []


@few
def test_without_a_stop_it_is_said_who_ran(interpreter: Interpreter, start_target: Start) -> None:
    target, _ = waiting(interpreter, start_target)
    captured = capture(target.pid, pause=False)
    assert captured.pause_ms is None
    assert captured.method == "not stopped, process_vm_readv"
    assert all(one.stood_still for one in captured.threads)
    busy = start_target(interpreter, "stop_threads.py", "busy", "2")
    captured = capture(busy.pid, lambda *_: wait_until_two_ran(busy.pid), pause=False)
    ran = [one.tid for one in captured.threads if not one.stood_still]
    assert len(ran) >= 2
    assert captured.problems == [f"{len(ran)} of 3 threads may have run while they were read"]


def wait_until_two_ran(pid: int) -> None:
    """Until two of its threads have had a processor, and have left it, since now."""
    before = {tid: procfs.read_task_switches(pid, tid) for tid in procfs.read_tasks(pid)}
    wait_until(
        lambda: sum(procfs.read_task_switches(pid, tid) > count for tid, count in before.items()) > 1, "two have run"
    )


@few
def test_a_stopped_target_stays_stopped(interpreter: Interpreter, start_target: Start) -> None:
    target, idents = waiting(interpreter, start_target)
    os.kill(target.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, target.pid, os.WSTOPPED)
    wait_until(lambda: states(target.pid) == {"T"}, "it is stopped")
    for _ in range(3):
        captured = capture(target.pid)
        assert all(one.stood_still for one in captured.threads)
        assert {one.state for one in captured.threads} == {"T"}
        assert {one.ident for one in captured.threads if one.ident} <= set(idents.values())
        wait_until(lambda: states(target.pid) == {"T"}, "it is stopped again")
    with pytest.raises(ZeroDivisionError):
        capture(target.pid, recheck=lambda *_: 1 // 0)
    wait_until(lambda: states(target.pid) == {"T"}, "it is stopped again")
    assert os.waitid(os.P_PID, target.pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG) is None, "its parent was told"
    os.kill(target.pid, signal.SIGCONT)
    wait_until(lambda: "T" not in states(target.pid), "it goes on")
    target.send_line()
    assert target.wait() == 7


@few
def test_a_traced_target_is_read_as_it_stands(interpreter: Interpreter, start_target: Start) -> None:
    target, _ = waiting(interpreter, start_target)
    with Holder() as other:
        other.hold(target.pid, this_machine(), 30)
        before = states(target.pid)
        captured = capture(target.pid)
        assert captured.problems == [f"it was not stopped, because process {other.pid} traces it already"]
        assert all(one.stood_still for one in captured.threads)
        assert states(target.pid) == before
        assert tracer(target.pid) == other.pid


@few
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, TargetError("x")])
def test_whatever_is_raised_meanwhile_lets_it_go(
    interpreter: Interpreter, start_target: Start, error: type[BaseException] | BaseException
) -> None:
    target, _ = waiting(interpreter, start_target)

    def fail(memory: Memory, threads: Sequence[StackPointer]) -> None:
        assert "t" in states(target.pid)
        raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        capture(target.pid, recheck=fail)
    assert tracer(target.pid) == 0, "whoever held it has ended"
    wait_until(lambda: "t" not in states(target.pid), "it was let go")


@few
def test_threads_that_compute_stand_still(interpreter: Interpreter, start_target: Start) -> None:
    target = start_target(interpreter, "stop_threads.py", "busy", "8")
    for _ in range(20):
        captured = capture(target.pid)
        assert len(captured.threads) == 9
        assert all(one.stood_still and one.registers for one in captured.threads)
        assert captured.problems == []
    target.send_line()
    assert target.wait() == 7


@few
def test_threads_that_come_and_go(interpreter: Interpreter, start_target: Start) -> None:
    target = start_target(interpreter, "stop_threads.py", "churn", "4")
    for _ in range(20):

        def look(memory: Memory, threads: Sequence[StackPointer]) -> None:
            assert procfs.read_tasks(target.pid) == sorted(one.tid for one in threads), "nobody came or went"

        captured = capture(target.pid, recheck=look)
        assert len(captured.threads) >= 5
        assert captured.problems == []
    target.send_line()
    assert target.wait() == 7


@pytest.mark.interpreters(minors=("2.7", "3.15"))
def test_five_hundred_threads(interpreter: Interpreter, start_target: Start) -> None:
    target = start_target(interpreter, "stop_threads.py", "wait", "500")
    captured = capture(target.pid)
    assert len(captured.threads) == 501
    assert all(one.stood_still for one in captured.threads)
    assert captured.problems == []
    assert captured.pause_ms is not None
    assert captured.pause_ms < HOLD_SECONDS * 1000
    target.send_line()
    assert target.wait() == 7


@few
def test_a_target_that_ends_meanwhile_ends_as_it_would(interpreter: Interpreter) -> None:
    for number in range(12):
        program = "import sys, time; sys.stdout.write('ready\\n'); sys.stdout.flush(); time.sleep(%f); sys.exit(7)"
        with running([interpreter.path, "-S", "-c", program % (number * 0.005)]) as target:
            target.wait_for()
            while target.process.poll() is None:
                try:
                    capture(target.pid)
                except (TargetError, procfs.ProcessGoneError, ReadError, PermissionError):
                    continue
            assert target.wait() == 7


@few
def test_a_target_that_executes_itself_meanwhile(interpreter: Interpreter, start_target: Start) -> None:
    target = start_target(interpreter, "stop_threads.py", "exec", "25", ready="")
    said = set()
    while target.process.poll() is None:
        try:
            capture(target.pid)
        except TargetError as error:
            said.add(error.fact.replace(str(target.pid), "N"))
        except (procfs.ProcessGoneError, ReadError, PermissionError):
            continue
    assert target.wait() == 7
    assert said <= {
        "Process N began to execute another program while it was read.", "Process N ended while it was read."
    }  # fmt: skip


def test_no_stop_of_ourselves() -> None:
    captured = capture(os.getpid())
    assert captured.problems[0] == "it was not stopped, because it is this process itself"


def test_a_stopper_that_cannot_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with running([sys.executable, "-c", "print('ready', flush=True); input()"]) as target:
        target.wait_for()
        monkeypatch.setattr(sys, "executable", "/bin/false")
        captured = capture(target.pid)
        assert captured.pause_ms is None
        assert captured.problems[0] == (
            "it could not be stopped: the process that was to stop it (/bin/false) did not start"
        )
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        captured = capture(target.pid)
        assert captured.problems[0] == (
            "it could not be stopped: /nowhere/python cannot be started: No such file or directory"
        )
        assert tracer(target.pid) == 0


VFORK = """
import ctypes, sys, threading
libc = ctypes.CDLL(None)
stack = ctypes.create_string_buffer(1 << 16)
top = ctypes.c_void_p((ctypes.addressof(stack) + (1 << 16)) & -64)
threading.Thread(target=lambda: libc.clone(libc.sleep, top, 0x4100 | 17, ctypes.c_void_p(60)), daemon=True).start()
print("ready", flush=True)
input()
"""


def test_a_thread_that_nothing_can_interrupt_costs_no_time() -> None:
    with running([sys.executable, "-c", VFORK]) as target:
        target.wait_for()
        wait_until(lambda: "D" in states(target.pid), "a thread waits for its vforked child")
        captured = capture(target.pid)
        [thread] = [one for one in captured.threads if one.state == "D"]
        assert thread.stood_still
        assert not thread.registers
        assert captured.problems == []
        assert captured.pause_ms is not None
        assert captured.pause_ms < BUSY_SECONDS * 1000, "it is not waited for as one that will stop"


WITHOUT_MAIN = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
ctypes.CDLL(None).syscall(60, 0)  # exit: of this thread alone
"""


def test_a_main_thread_that_has_ended_is_in_nobodys_way() -> None:
    with running([sys.executable, "-c", WITHOUT_MAIN]) as target:
        wait_until(lambda: "Z" in states(target.pid), "the main thread has ended")
        with Holder() as holder:
            assert holder.hold(target.pid, this_machine(), HOLD_SECONDS) == [target.pid]
            assert len(holder.stopped()) == 1


def test_nothing_is_left_behind() -> None:
    with running([sys.executable, "-c", "print('ready', flush=True); input()"]) as target:
        target.wait_for()
        gc.collect()  # what earlier tests left
        children = read_children()
        fds = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for _ in range(3):
            capture(target.pid)
        assert set(os.listdir("/proc/self/fd")) == fds  # noqa: PTH208
        assert str(target.pid) in children
        assert read_children() == children


def read_children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.mark.skipif(not Path("/proc/self/sched").exists(), reason="this kernel keeps no /proc/PID/sched")
def test_another_try_is_no_turn_of_a_thread_that_sleeps() -> None:
    """What is captured again is told to have slept as long as before; on a busy machine not each time."""
    with running([sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)"]) as target:
        target.wait_for("ready")
        wait_until(lambda: states(target.pid) == {"S"}, "it sleeps")
        assert any(min(look_twice(target.pid)) >= LONG for _ in range(20))


def look_twice(pid: int) -> tuple[float, float]:
    """How long a thread has slept, which has done so for a second, by a look and one right after it."""
    wait_until(lambda: (read_slept(pid, [pid])[pid].seconds or 0.0) >= LONG, "it has slept for a while")
    attached = Attached(pid, Options(), procfs.PROC)
    first, again = (attached.capture(pause=True).threads[0].idle_s or 0.0 for _ in range(2))
    return first, again
