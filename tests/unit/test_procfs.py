"""The readers of /proc, on a recorded tree and on ourselves."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import psutil
import pytest

from harness import wait_until
from lastwords.capture import procfs

STATUS = """\
Name:\todd) (name
State:\tt (tracing stop)
Tgid:\t70
PPid:\t1
TracerPid:\t71
Uid:\t1000\t0\t1000\t1000
NSpid:\t70\t7
Threads:\t3
"""
MAPS = """\
00400000-00401000 r-xp 00001000 fd:01 42                         /usr/bin/a file with blanks
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
7f0000002000-7f0000003000 r--p 00000000 08:02 7                  /lib/gone.so (deleted)
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "70"
    (folder / "task" / "70").mkdir(parents=True)
    (folder / "task" / "72").mkdir()
    (folder / "fd").mkdir()
    (folder / "fd" / "0").symlink_to("/dev/null")
    (folder / "fd" / "10").symlink_to("socket:[123]")
    (folder / "exe").symlink_to("/usr/bin/a file with blanks (deleted)")
    (folder / "status").write_text(STATUS)
    (folder / "maps").write_text(MAPS)
    (folder / "cmdline").write_bytes(b"python\0-c\0\0caf\xe9\0")
    return tmp_path


def test_status(proc: Path) -> None:
    status = procfs.read_status(70, proc)
    assert (status.name, status.state, status.ppid, status.tracer_pid) == ("odd) (name", "t", 1, 71)
    assert (status.uid, status.effective_uid, status.ns_pids, status.threads) == (1000, 0, (70, 7), 3)


def test_maps(proc: Path) -> None:
    first, anonymous, gone, last = procfs.read_maps(70, proc)
    assert (first.start, first.end, first.offset, first.inode) == (0x400000, 0x401000, 0x1000, 42)
    assert (first.path, first.device) == ("/usr/bin/a file with blanks", os.makedev(0xFD, 1))
    assert anonymous.path == ""
    assert (gone.is_deleted, first.is_deleted) == (True, False)
    assert last.path == "[vsyscall]"


def test_tasks_fds_and_links(proc: Path) -> None:
    assert procfs.read_tasks(70, proc) == [70, 72]
    assert procfs.read_fds(70, proc) == {0: "/dev/null", 10: "socket:[123]"}
    assert procfs.read_link(70, "exe", proc) == "/usr/bin/a file with blanks (deleted)"


def test_cmdline_keeps_empty_words_and_strange_bytes(proc: Path) -> None:
    assert procfs.read_cmdline(70, proc) == ["python", "-c", "", "caf\udce9"]


def test_no_process(proc: Path) -> None:
    for read in (procfs.read_status, procfs.read_maps, procfs.read_tasks, procfs.read_fds, procfs.read_cmdline):
        with pytest.raises(procfs.ProcessGoneError, match="no process 71"):
            read(71, proc)


def test_ptrace_scope(proc: Path) -> None:
    assert procfs.read_ptrace_scope(proc) is None
    (proc / "sys/kernel/yama").mkdir(parents=True)
    (proc / "sys/kernel/yama/ptrace_scope").write_text("1\n")
    assert procfs.read_ptrace_scope(proc) == 1


def test_ourselves() -> None:
    pid = os.getpid()
    assert procfs.read_status(pid).ppid == os.getppid()
    assert os.gettid() in procfs.read_tasks(pid) if hasattr(os, "gettid") else procfs.read_tasks(pid)
    assert abs(procfs.read_start_time(pid) - psutil.Process().create_time()) < 3  # boot's is told in whole seconds
    assert any(mapping.start <= id(object) < mapping.end for mapping in procfs.read_maps(pid))


def test_a_thread_says_where_it_waits() -> None:
    pid = os.getpid()
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        name, _ = procfs.read_task_stat(pid, thread.native_id)
        assert name == procfs.read_text(pid, "comm").strip()
        tid, looks = thread.native_id, [0]

        def rests() -> bool:
            looks.append(procfs.read_task_switches(pid, tid))
            return looks[-3:] == 3 * looks[-1:] and procfs.read_task_call(pid, tid) is not None

        wait_until(rests, "the thread waits, and not for the GIL alone")
        call = procfs.read_task_call(pid, tid)
        assert call is not None
        assert call.number is not None
        assert len(call.arguments) == 6
        assert call.sp
        assert call.pc
        assert looks[-1] == procfs.read_task_switches(pid, tid) > 0
    finally:
        go.set()
        thread.join()
    # join() returns when Python is done with it, a little before the kernel
    wait_until(lambda: tid not in procfs.read_tasks(pid), "the thread is gone")
    with pytest.raises(OSError, match=r"No such|such process"):
        procfs.read_task_stat(pid, tid)
