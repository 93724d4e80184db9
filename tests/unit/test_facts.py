"""What /proc tells of descriptors, children and file locks, over recorded trees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lastwords.capture.kernel.descriptors import name_descriptor
from lastwords.capture.kernel.facts import Facts, read_facts
from lastwords.capture.kernel.file_locks import FileLock, find_blockers, read_locks
from lastwords.capture.kernel.peers import format_argv

PID = 70
MOUNTS = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 0:50 / /net rw,relatime shared:1 - nfs4 server:/x rw\n"
EPOLL = """\
flags:\t02000002
tfd:        5 events:       19 data:                5  pos:0 ino:63 sdev:f
tfd:        6 events:        4 data:                6  pos:0 ino:64 sdev:f
tfd:        9 events:        1 data:                9  pos:0 ino:65 sdev:f
"""
LOCKS = """\
1: FLOCK  ADVISORY  WRITE 71 08:01:500 0 EOF
1: -> FLOCK  ADVISORY  WRITE 70 08:01:500 0 EOF
2: POSIX  ADVISORY  READ 72 08:01:500 0 EOF
2: POSIX  ADVISORY  READ 71 08:01:501 5 9
2: -> POSIX  ADVISORY  WRITE 74 08:01:500 0 EOF
3: OFDLCK ADVISORY  WRITE -1 08:01:500 0 EOF
3: -> OFDLCK ADVISORY  WRITE -1 08:01:500 0 EOF
nonsense
"""


def add(proc: Path, pid: int, argv: str, ppid: int = 1, state: str = "S") -> Path:
    folder = proc / str(pid)
    for name in ("fd", "fdinfo", "ns", f"task/{pid}"):
        (folder / name).mkdir(parents=True)
    (folder / "cmdline").write_bytes(argv.replace(" ", "\0").encode() + b"\0" * bool(argv))
    (folder / "status").write_text(f"Name:\tname\nState:\t{state}\nPPid:\t{ppid}\n")
    (folder / "stat").write_text(f"{pid} (a) b) {state} {ppid} {pid} 1 0\n")
    (folder / "mountinfo").write_text(MOUNTS)
    (folder / "ns/mnt").symlink_to("mnt:[1]")
    return folder


def opened(folder: Path, fd: int, target: str, info: str = "flags:\t02\n") -> None:
    (folder / "fd" / str(fd)).symlink_to(target)
    (folder / "fdinfo" / str(fd)).write_text(info)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    target = add(tmp_path, PID, "/usr/bin/python app.py")
    reader, writer = "flags:\t0100000\n", "flags:\t0100001\n"
    opened(target, 0, "/dev/pts/3", "flags:\t0100002\n")
    opened(target, 3, "anon_inode:[eventpoll]", EPOLL)
    opened(target, 4, "/etc/passwd", f"{reader}mnt_id:\t21\nino:\t500\n")
    opened(target, 5, "pipe:[99]", reader)
    opened(target, 6, "pipe:[100]", writer)
    opened(target, 7, "/net/a file", f"{reader}mnt_id:\t22\nino:\t7\n")
    opened(target, 8, "socket:[1234]")
    worker = add(tmp_path, 71, "/usr/bin/python worker.py", ppid=PID)
    opened(worker, 1, "pipe:[99]", writer)
    opened(worker, 2, "pipe:[99]", reader)
    add(tmp_path, 72, "", ppid=PID, state="Z")
    add(tmp_path, 73, "sshd: x", ppid=1)
    opened(tmp_path / "73", 9, "/dev/ptmx", "flags:\t02\ntty-index:\t3\n")
    opened(tmp_path / "73", 10, "/dev/ptmx", "flags:\t02\ntty-index:\t33\n")
    (tmp_path / "locks").write_text(LOCKS)
    return tmp_path


@pytest.fixture
def facts(proc: Path) -> Facts:
    return read_facts(PID, proc)


@pytest.mark.parametrize(
    ("fd", "text"),
    [
        (0, "fd 0, the terminal /dev/pts/3; the other end: process 73 (sshd: x)"),
        (3, "fd 3, an epoll"),
        (4, "fd 4, the file /etc/passwd"),
        (5, "fd 5, a pipe; the other end: process 71 (python worker.py)"),
        (6, "fd 6, a pipe; nobody has the other end open"),
        (7, "fd 7, the file /net/a file on nfs4"),
        (8, "fd 8, a socket"),
        (99, "fd 99"),
        (-1, "fd -1"),
    ],
)
def test_descriptors_in_words(facts: Facts, fd: int, text: str) -> None:
    assert facts.describe(fd) == text


def test_the_other_end_of_a_pipe_is_who_does_the_opposite(facts: Facts, proc: Path) -> None:
    other = facts.other_end(5)
    assert other is not None
    assert (other.pids, other.is_complete) == ((71,), True)
    opened(proc / "70", 11, "pipe:[99]", "flags:\t01\n")
    assert read_facts(PID, proc).describe(5).endswith(": this process itself (fd 11), process 71 (python worker.py)")
    assert read_facts(71, proc).describe(
        1
    ) == "fd 1, a pipe; the other end: process 70 (python app.py), this process" + (" itself (fd 2)")


def test_many_at_the_other_end_are_counted(proc: Path) -> None:
    for pid in range(80, 90):
        opened(add(proc, pid, "w"), 1, "pipe:[99]", "flags:\t01\n")
    text = read_facts(PID, proc).describe(5)
    assert text.endswith("process 71 (python worker.py), process 80 (w), process 81 (w) and 8 more")


def test_who_may_not_be_looked_at_is_counted(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.listdir

    def refuse(path: str) -> list[str]:
        if str(path).endswith(("/71/fd", "/73/fd")):
            raise PermissionError(13, "no")
        return real(path)

    monkeypatch.setattr(os, "listdir", refuse)
    facts = read_facts(PID, proc)
    text = "fd 5, a pipe; who has the other end open is not known: 2 processes could not be looked at"
    assert facts.describe(5) == text
    other = facts.other_end(5)
    assert other is not None
    assert not other.is_complete


def test_a_terminal_of_another_mount_namespace_is_another_one(proc: Path) -> None:
    (proc / "73/ns/mnt").unlink()
    (proc / "73/ns/mnt").symlink_to("mnt:[2]")
    assert read_facts(PID, proc).describe(0) == "fd 0, the terminal /dev/pts/3; nobody has the other end open"


def test_what_an_epoll_watches(facts: Facts) -> None:
    found = facts.descriptor(3)
    assert found is not None
    assert [(one.fd, one.events, one.is_stale) for one in found.watched] == [
        (5, 25, False),
        (6, 4, False),
        (9, 1, True),
    ]


def test_a_number_that_is_another_pipe_by_now_is_stale(proc: Path) -> None:
    (proc / "70/fd/5").unlink()
    (proc / "70/fd/5").symlink_to("pipe:[98]")
    found = read_facts(PID, proc).descriptor(3)
    assert found is not None
    assert found.watched[0].is_stale


@pytest.mark.parametrize(
    ("target", "info", "text"),
    [
        ("anon_inode:[eventfd]", "eventfd-count:               1f\n", "an eventfd, its count is 31"),
        ("anon_inode:[timerfd]", "it_value: (3, 500000000)\n", "a timerfd, it expires in 3.5 s"),
        ("anon_inode:[timerfd]", "it_value: (0, 0)\n", "a timerfd, it is not armed"),
        ("anon_inode:[signalfd]", "sigmask:\t0000000000000202\n", "a signalfd, for SIGINT, SIGUSR1"),
        ("anon_inode:inotify", "", "an inotify"),
        ("anon_inode:[pidfd]", "Pid:\t12\n", "a pidfd of process 12"),
        ("pidfd:[44]", "Pid:\t-1\n", "a pidfd"),
        ("anon_inode:[io_uring]", "", "anon_inode:[io_uring]"),
        ("/dev/ptmx", "tty-index:\t3\n", "a pty's master"),
        ("/dev/tty", "", "the terminal /dev/tty"),
        ("/memfd:x (deleted)", "", "the file /memfd:x (deleted)"),
        ("anon_inode:[eventfd]", "eventfd-count: what\n", "an eventfd"),
    ],
)
def test_other_kinds(proc: Path, target: str, info: str, text: str) -> None:
    opened(proc / "70", 20, target, f"flags:\t02\n{info}")
    found = read_facts(PID, proc).descriptor(20)
    assert found is not None
    assert name_descriptor(found).replace("its count is None", "").rstrip(", ") == text


def test_a_fifo_is_one_by_its_file(proc: Path) -> None:
    fifo = proc / "fifo"
    os.mkfifo(fifo)
    info = "mnt_id:\t21\nino:\t77\n"
    opened(proc / "70", 20, str(fifo), f"flags:\t00\n{info}")
    opened(proc / "71", 20, str(fifo), f"flags:\t01\n{info}")
    opened(proc / "71", 21, str(fifo), "flags:\t01\nmnt_id:\t21\nino:\t78\n")
    text = f"fd 20, the FIFO {fifo}; the other end: process 71 (python worker.py)"
    assert read_facts(PID, proc).describe(20) == text


def test_children(facts: Facts, proc: Path) -> None:
    described = ["process 71 (python worker.py), sleeping", "process 72 (name), a zombie"]
    assert [child.describe() for child in facts.children] == described
    (proc / "70/task/70/children").write_text("71 72 ")
    assert [child.pid for child in read_facts(PID, proc).children] == [71, 72]
    assert facts.child(71) == facts.children[0]
    assert facts.child(73) is None


def test_a_process_that_has_ended_has_nothing(proc: Path) -> None:
    facts = read_facts(4711, proc)
    assert (facts.all_descriptors(), facts.children, facts.descriptor(0), facts.other_end(0)) == ({}, [], None, None)


def test_all_descriptors(facts: Facts) -> None:
    assert list(facts.all_descriptors()) == [0, 3, 4, 5, 6, 7, 8]


def test_file_locks(proc: Path) -> None:
    assert len(read_locks(proc)) == 7
    assert find_blockers(70, "FLOCK", 500, proc) == [FileLock(1, False, "FLOCK", "WRITE", 71, 500)]
    assert [one.pid for one in find_blockers(74, "POSIX", 500, proc)] == [72, 71]
    assert [one.pid for one in find_blockers(70, "OFDLCK", 500, proc)] == [-1]
    assert find_blockers(70, "FLOCK", 501, proc) == []
    assert find_blockers(70, "POSIX", 500, proc) == []
    assert read_locks(proc / "none") == []


def test_argv_in_few_words() -> None:
    assert format_argv(["/usr/bin/python", "-c", "a\nb\t c"]) == "python -c a b c"
    assert format_argv(["sshd: x"]) == "sshd: x"
    assert format_argv(["x", "y" * 100], 10) == "x yyyyy..."
    assert format_argv(["\udcff"]) == "\\udcff"


def test_on_ourselves() -> None:
    read, write = os.pipe()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        facts = read_facts(os.getpid())
        assert facts.describe(read) == f"fd {read}, a pipe; the other end: this process itself (fd {write})"
        assert child.stdin is not None
        other = facts.other_end(child.stdin.fileno())
        assert other is not None
        assert other.pids == (child.pid,)
        assert facts.child(child.pid) is not None
        assert facts.shares_clocks
        child.communicate(b"\n")
    os.close(read)
    os.close(write)
