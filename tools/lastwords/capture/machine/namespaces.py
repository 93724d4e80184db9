"""Which pid and user namespace a process is in, and what that hides."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lastwords.capture import procfs

FIRST_PID_NAMESPACE = "pid:[4026531836]"  # include/linux/proc_ns.h (Linux 3.8 on): PROC_PID_INIT_INO
FIRST_USER_NAMESPACE = "user:[4026531837]"  # PROC_USER_INIT_INO
PARENTS_LIMIT = 1000


class Namespaces(msgspec.Struct, frozen=True):
    """pid, user: as their links read, None where they may not be read.

    began_here: the first process of the pid namespace is an ancestor of ours, or we are it. It is not where we joined
    the namespace of something that ran before: `docker run --pid=container:NAME`, `docker exec`.
    uid_map: (first inside, first outside, how many) of each line
    """

    pid: str | None
    user: str | None
    began_here: bool
    processes: int
    uid_map: tuple[tuple[int, int, int], ...]

    @property
    def sees_machine(self) -> bool:
        """Whether it is the machine's own pid namespace, which shows every process."""
        return self.pid == FIRST_PID_NAMESPACE

    @property
    def is_first_user(self) -> bool:
        """Whether root is the machine's own root here."""
        return self.user == FIRST_USER_NAMESPACE


def read_namespaces(pid: int, proc: Path = procfs.PROC) -> Namespaces:
    """Those of process `pid`, mostly our own. Raises ProcessGoneError."""
    return Namespaces(
        pid=_read_link(pid, "pid", proc),
        user=_read_link(pid, "user", proc),
        began_here=_comes_from_first(pid, proc),
        processes=sum(entry.name.isdigit() for entry in proc.iterdir()),
        uid_map=_read_uid_map(pid, proc),
    )


def _read_link(pid: int, kind: str, proc: Path) -> str | None:
    try:
        return procfs.read_link(pid, f"ns/{kind}", proc)
    except OSError:
        return None


def _comes_from_first(pid: int, proc: Path) -> bool:
    for _ in range(PARENTS_LIMIT):
        if pid in (0, 1):  # 0: the parent is in another pid namespace
            break
        pid = procfs.read_status(pid, proc).ppid
    return pid == 1


def _read_uid_map(pid: int, proc: Path) -> tuple[tuple[int, int, int], ...]:
    try:
        lines = procfs.read_text(pid, "uid_map", proc).splitlines()
    except OSError:
        return ()
    return tuple((int(inside), int(outside), int(count)) for inside, outside, count in map(str.split, lines))
