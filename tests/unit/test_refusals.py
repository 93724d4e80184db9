"""What is said of a process that cannot be read, where it takes a recorded /proc to get there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from lastwords.capture import procfs
from lastwords.capture.memory import ReadError, unreadable
from lastwords.capture.permission import explain_no_stop
from lastwords.cpython.refusals import explain_end, explain_no_interpreter, explain_no_python, explain_refusal
from lastwords.errors import SetupError, TargetError

GOLDEN = Path(__file__).parents[1] / "golden"
DELETED = "7f0000000000-7f0000001000 r-xp 00001000 fd:01 42   /usr/lib/libpython3.8.so.1.0 (deleted)\n"
STATUS = """\
Name:\tx
State:\tS
Tgid:\t{pid}
PPid:\t1
TracerPid:\t77
Uid:\t{user}\t{user}\t{user}\t{user}
CapPrm:\t0
CapEff:\t{effective:x}
"""


class Closed:
    """A memory that may not be read."""

    def read(self, address: int, size: int) -> bytes:
        raise unreadable(address, size, os.strerror(1))

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        return [None for _ in ranges]


def record(proc: Path, pid: int, user: int, effective: int = 0) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "status").write_text(STATUS.format(pid=pid, user=user, effective=effective))


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    record(tmp_path, 70, user=5)
    record(tmp_path, os.getpid(), user=6)
    (tmp_path / "70/exe").symlink_to("/usr/bin/server")
    (tmp_path / "70/maps").write_text(DELETED)
    return tmp_path


def test_what_could_not_be_looked_at_is_not_called_no_python(proc: Path) -> None:
    maps = procfs.read_maps(70, proc)
    with pytest.raises(ReadError) as caught:
        explain_no_python(70, maps, proc, Closed())
    error = explain_refusal(70, caught.value, proc)
    assert isinstance(error, SetupError)
    assert error.fact.startswith(
        "The memory of process 70 may not be read: it belongs to user 5, lastwords runs as user 6 "
    )
    assert error.help == "sudo lastwords attach 70"


def test_without_a_known_reason(proc: Path) -> None:
    record(proc, os.getpid(), user=6, effective=1 << 19)
    if os.geteuid() == 0:  # as the kernel has it; root's would be one that is not dumpable
        os.chown(proc / "70" / "maps", 5, 5)
    error = explain_refusal(70, PermissionError(13, "no"), proc)
    assert "may not be read: the kernel does not show why (a security module," in error.fact


@pytest.mark.parametrize("scope", [1, 2, 3])
def test_yama(proc: Path, scope: int) -> None:
    (proc / "sys/kernel/yama").mkdir(parents=True)
    (proc / "sys/kernel/yama/ptrace_scope").write_text(f"{scope}\n")
    record(proc, os.getpid(), user=5)
    error = explain_refusal(70, PermissionError(13, "no"), proc)
    assert isinstance(error, SetupError)
    golden = GOLDEN / f"attach_yama_{scope}.txt"
    told = f"{error.fact}\n  {error.help}\n"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(told)
    assert told == golden.read_text()


def test_why_it_could_not_be_stopped(proc: Path) -> None:
    record(proc, os.getpid(), user=5)
    record(proc, 70, user=5)
    assert explain_no_stop(70, "ptrace: Operation not permitted", proc) == (
        "ptrace: Operation not permitted: process 77 traces it already (TracerPid), and there can be one only"
    )
    assert explain_no_stop(70, "it did not start", proc) == "it did not start"
    assert explain_no_stop(71, "ptrace: Operation not permitted", proc) == "ptrace: Operation not permitted"


def test_memory_that_makes_no_sense(proc: Path) -> None:
    error = explain_refusal(70, ReadError("8 bytes at 0x8 cannot be read"), proc)
    assert isinstance(error, TargetError)
    assert error.fact == "Process 70 could not be read as CPython: 8 bytes at 0x8 cannot be read."


def test_a_core_has_no_pid_to_paste() -> None:
    error = explain_no_interpreter(None)
    assert (error.fact.partition(":")[0], error.help) == ("The target has no Python interpreter", "")


@pytest.mark.parametrize(("flags", "said"), [(0x200040, "it is a kernel thread."), (0x40, "ended while it was read.")])
def test_who_has_no_memory(proc: Path, flags: int, said: str) -> None:
    """A process that ends has lost its memory a little before it is a zombie."""
    (proc / "70/stat").write_text(f"70 (x) R 1 70 70 0 -1 {flags} 0\n")
    assert explain_no_python(70, [], proc).fact.endswith(said)
    (proc / "70/exe").unlink()
    assert explain_no_python(70, procfs.read_maps(70, proc), proc).fact.endswith(said)


def test_one_that_has_ended(proc: Path) -> None:
    assert explain_end(70, proc) is None
    ended = explain_end(71, proc)
    assert ended is not None
    assert ended.fact == "Process 71 ended while it was read."


def test_one_whose_main_thread_has_ended(proc: Path) -> None:
    """It is shown by the first that lives; told is only that it changed, where that one ended meanwhile."""
    status = (proc / "70/status").read_text()
    for tid, state in ((70, "Z"), (71, "X"), (72, "S"), (73, "S")):
        (proc / f"70/task/{tid}").mkdir(parents=True)
        (proc / f"70/task/{tid}/stat").write_text(f"{tid} (x) {state} 1 70 70 0 -1 64 0\n")
    assert procfs.find_way_in(70, proc) == 70
    (proc / "70/status").write_text(status.replace("State:\tS", "State:\tZ"))
    (proc / "70/maps").write_text("")
    assert procfs.find_way_in(70, proc) == 72
    ended = explain_end(70, proc)
    assert ended is not None
    golden, told = GOLDEN / "attach_main_thread_ended.txt", f"lastwords: {ended.fact}\n  {ended.help}\n"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(told)
    assert told == golden.read_text()
    for tid in (72, 73):
        (proc / f"70/task/{tid}/stat").unlink()
    assert procfs.find_way_in(70, proc) == 70
    assert "is a zombie: it has ended" in str(explain_end(70, proc))
