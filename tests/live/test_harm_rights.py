"""Few rights: what may not be read is refused in words (tests/golden), and what may be is read, without a stop."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness import Target, name_values, running, wait_until, wait_until_at_rest
from interpreters import Interpreter
from lastwords.capture import procfs
from lastwords.cli import main
from needs import need
from nobody import NOBODY, as_nobody
from stopping import capture, look_nowhere

Start = Callable[..., Target]
GOLDEN = Path(__file__).parents[1] / "golden"
WAITS = "import ctypes, sys; ctypes.CDLL(None).prctl(4, int(sys.argv[1]), 0, 0, 0); print('ready', flush=True); input()"
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF: a word, jump if equal, return
ERRNO, ALLOW, EPERM = 0x00050000, 0x7FFF0000, 1
PTRACE, PROCESS_VM_READV = 101, 310  # x86_64


def attach(pid: int, *options: str, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    """The command, in a process in which `before` is called first."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "tools")}
    return subprocess.run(
        [sys.executable, "-m", "lastwords", "attach", str(pid), *options], capture_output=True, text=True, check=False,
        env=environment, stdin=subprocess.DEVNULL, preexec_fn=before,
    )  # fmt: skip


def compare(name: str, text: str, pid: int) -> None:
    golden = GOLDEN / f"{name}.txt"
    text = name_values(text, pid=pid, nobody=NOBODY)
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def forbid(*numbers: int) -> None:
    """From now on these system calls fail with EPERM, here and in what is executed."""
    code = [struct.pack("HBBI", LOAD, 0, 0, 0)]
    for number in numbers:
        code += [struct.pack("HBBI", EQUAL, 0, 1, number), struct.pack("HBBI", RETURN, 0, 0, ERRNO | EPERM)]
    code.append(struct.pack("HBBI", RETURN, 0, 0, ALLOW))
    filters = ctypes.create_string_buffer(b"".join(code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(filters)))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in ((PR_SET_NO_NEW_PRIVS, 1, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program))):
        if libc.prctl(ctypes.c_int(words[0]), ctypes.c_ulong(words[1]), ctypes.c_ulong(words[2]), 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def test_one_that_may_not_be_dumped(capfd: pytest.CaptureFixture[str]) -> None:
    """Of the same user, who may not even look at it: PR_SET_DUMPABLE, or that it has changed its user."""
    need(os.geteuid() == 0, "root, to become somebody else")
    become = f"import ctypes, os; os.setresgid(*[{NOBODY}] * 3); os.setresuid(*[{NOBODY}] * 3); "
    with running([sys.executable, "-c", become + WAITS, "0"]) as target:
        target.wait_for("ready")
        capfd.readouterr()
        assert as_nobody(lambda: main(["attach", str(target.pid)])) == 4
        compare("attach_not_dumpable", capfd.readouterr().err, target.pid)


@pytest.fixture
def waiting() -> Any:  # noqa: ANN401 - a generator
    need(os.uname().machine == "x86_64", "x86_64, for the numbers of system calls")
    with running([sys.executable, "-c", WAITS, "1"]) as target:
        target.wait_for("ready")
        wait_until(lambda: procfs.read_text(target.pid, "syscall").startswith("0 0x0 "), "it reads")
        yield target


def test_a_filter_that_forbids_ptrace(waiting: Target) -> None:
    """It is read all the same, without a stop; and said why."""
    done = attach(waiting.pid, "--json", "-", before=partial(forbid, PTRACE))
    assert done.returncode == 5, done.stderr
    report = json.loads(done.stdout)
    assert [frame["function"] for frame in report["threads"][0]["stack"] if frame["kind"] == "python"] == ["<module>"]
    assert report["moments"][0]["capture"]["problems"] == [
        "it could not be stopped: ptrace: Operation not permitted: a seccomp filter is on (Seccomp: 2)"
    ]
    for forbidden in ((PTRACE,), (PTRACE, PROCESS_VM_READV)):
        done = attach(waiting.pid, "--no-pause", "--json", "-", before=partial(forbid, *forbidden))
        assert (done.returncode, done.stderr) == (0, "")


def test_a_filter_that_forbids_to_read(waiting: Target) -> None:
    """process_vm_readv is refused: /proc/PID/mem is read instead."""
    done = attach(waiting.pid, "--json", "-", before=partial(forbid, PROCESS_VM_READV))
    assert done.returncode == 0, done.stderr
    assert "/proc/PID/mem" in json.loads(done.stdout)["moments"][0]["capture"]["method"]


@pytest.mark.interpreters(minors=("2.7", "3.12", "3.15"))
def test_no_interrupt_leaves_waits_alone(interpreter: Interpreter, start_target: Start) -> None:
    from lastwords.capture.stop.live import capture_process  # noqa: PLC0415

    target = start_target(interpreter, "stop_waits.py")
    wait_until_at_rest(target.pid)
    captured = capture_process(target.pid, look_nowhere, look_nowhere, interrupt=False)
    count = len(captured.threads)
    assert all(one.stood_still and not one.registers and one.sp for one in captured.threads)
    assert f", {count} of {count} threads left in their system calls, " in captured.method
    assert captured.problems == []
    assert sum(bool(one.registers) for one in capture(target.pid).threads) >= count - 1, "else all but one are held"
    busy = start_target(interpreter, "stop_threads.py", "busy", "2")
    captured = capture_process(busy.pid, look_nowhere, look_nowhere, interrupt=False)
    assert len(captured.threads) == 3
