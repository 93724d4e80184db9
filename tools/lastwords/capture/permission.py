"""Why one process may not trace another, in the order in which the kernel looks: facts first, never a guess.

The same reasons serve `doctor`, which knows more of both sides, and `run`, when gdb could not attach.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lastwords.capture import procfs
from lastwords.capture.procfs import Status

SYS_PTRACE = "SYS_PTRACE"
CAP_SYS_PTRACE = 1 << 19  # linux/capability.h
ALLOW_ATTACH = "sudo sysctl kernel.yama.ptrace_scope=0"
ALLOW_IN_CONTAINER = "docker run --cap-add=SYS_PTRACE ..."


class Tracer(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to trace: its rights, and what the machine allows (`ptrace_scope` is yama's, None without)."""

    ptrace_scope: int | None
    effective_uid: int
    has_sys_ptrace: bool
    permitted: int
    seccomp: int


class Tracee(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to be traced. `is_child`: of the tracer, or it has named it by PR_SET_PTRACER."""

    pid: int
    ppid: int
    uid: int
    effective_uid: int
    tracer_pid: int
    is_zombie: bool
    is_child: bool
    permitted: int
    other_user_namespace: bool


class Obstacle(msgspec.Struct, frozen=True):
    """A reason, and the command that mends it or shows more."""

    fact: str
    mend: str


def find_obstacles(tracer: Tracer, tracee: Tracee) -> Iterator[Obstacle]:
    """Everything that forbids it, the first reason first; nothing where nothing is known to forbid it."""
    if tracee.tracer_pid:
        fact = f"process {tracee.tracer_pid} traces it already (TracerPid), and there can be one only"
        yield Obstacle(fact, f"ps -o pid,args -p {tracee.tracer_pid}")
    if tracee.is_zombie:
        fact = "it is a zombie: it has ended and waits for its parent"
        yield Obstacle(fact, f"ps -o pid,args -p {tracee.ppid}")
    scope = tracer.ptrace_scope or 0
    if scope >= 3:
        fact = f"yama's ptrace_scope is {scope}: nobody may trace"
        yield Obstacle(fact, "reboot without kernel.yama.ptrace_scope=3")
    if not tracer.has_sys_ptrace:
        yield from _without_capability(tracer, tracee, scope)


def _without_capability(tracer: Tracer, tracee: Tracee, scope: int) -> Iterator[Obstacle]:
    ask = f"sudo lastwords doctor {tracee.pid}"
    if tracer.effective_uid not in (tracee.uid, tracee.effective_uid) or tracee.uid != tracee.effective_uid:
        yield Obstacle(
            f"it belongs to user {tracee.uid}, lastwords runs as user {tracer.effective_uid} without CAP_{SYS_PTRACE}",
            ask,
        )
    if tracee.permitted & ~tracer.permitted:
        more = tracee.permitted & ~tracer.permitted
        yield Obstacle(f"it has capabilities ({more:#x}) that lastwords has not", ask)
    if scope == 2:
        yield Obstacle(f"yama's ptrace_scope is 2: only CAP_{SYS_PTRACE} may trace", ALLOW_ATTACH)
    if scope == 1 and not tracee.is_child:
        yield Obstacle("yama's ptrace_scope is 1: only children may be traced, and it is none", ALLOW_ATTACH)
    if tracee.other_user_namespace:
        yield Obstacle("it is in another user namespace", ask)


def find_lost_right(path: str, proc: Path = procfs.PROC) -> str | None:
    """The right that the file gives to who executes it, and not to who is traced meanwhile (execve(2)); None: none.

    None also where we have CAP_SYS_PTRACE: then the kernel gives it all the same.
    """
    found = Path(path).stat()
    if found.st_mode & stat.S_ISUID and found.st_uid != os.geteuid():
        right = f"is set-user-ID {found.st_uid}"
    elif found.st_mode & stat.S_ISGID and found.st_mode & stat.S_IXGRP and found.st_gid != os.getegid():
        right = f"is set-group-ID {found.st_gid}"
    elif _has_capabilities(path):
        right = "has file capabilities"
    else:
        return None
    return None if read_rights(proc, os.getpid()).has_sys_ptrace else right


def _has_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:  # ENODATA, or a file system without
        return False


def explain_refusal(pid: int, said: str, proc: Path = procfs.PROC, ours: int | None = None) -> Obstacle:
    """Why gdb could not attach to our child `pid`, by looking; `said` are gdb's words, for where nothing is found.

    `ours` is the process whose rights gdb has: this one.
    """
    rights = read_rights(proc, ours or os.getpid())
    try:
        obstacle = next(find_obstacles(rights, read_tracee(pid, proc, is_child=True)), None)
    except (OSError, procfs.ProcessGoneError):
        return Obstacle(f"process {pid} has ended", "lastwords doctor")
    if obstacle is None and rights.seccomp and not rights.has_sys_ptrace:
        fact = f"a seccomp filter is on (Seccomp: {rights.seccomp}), as containers have it, and there is no "
        return Obstacle(f"{fact}CAP_{SYS_PTRACE}; gdb said: {said}", ALLOW_IN_CONTAINER)
    return obstacle or Obstacle(f"nothing in /proc says why; gdb said: {said}", "lastwords doctor")


def explain_no_stop(pid: int, said: str, proc: Path = procfs.PROC) -> str:
    """Why a process that may be read could not be stopped: what was `said`, and what is known of that."""
    if "not permitted" not in said:
        return said
    try:
        rights = read_rights(proc, os.getpid())
        obstacle = next(find_obstacles(rights, read_tracee(pid, proc)), None)
    except (OSError, procfs.ProcessGoneError):
        return said
    filtered = f"a seccomp filter is on (Seccomp: {rights.seccomp})" if rights.seccomp else ""
    why = obstacle.fact if obstacle else filtered
    return f"{said}: {why}" if why else said


def read_rights(proc: Path, pid: int) -> Tracer:
    """Those of process `pid`."""
    fields = procfs.read_fields(pid, proc)
    return Tracer(
        ptrace_scope=procfs.read_ptrace_scope(proc),
        effective_uid=int(fields["Uid"].split()[1]),
        has_sys_ptrace=bool(int(fields.get("CapEff", "0"), 16) & CAP_SYS_PTRACE),
        permitted=int(fields.get("CapPrm", "0"), 16),
        seccomp=int(fields.get("Seccomp", "0")),
    )


def read_tracee(pid: int, proc: Path = procfs.PROC, is_child: bool = False) -> Tracee:
    """Process `pid` as one that we would trace; `is_child`: it is ours, or has named us by PR_SET_PTRACER."""
    return make_tracee(pid, procfs.read_status(pid, proc), proc, is_child)


def make_tracee(pid: int, status: Status, proc: Path = procfs.PROC, is_child: bool = False) -> Tracee:
    """The same of a process whose status was read already."""
    return Tracee(
        pid=pid,
        ppid=status.ppid,
        uid=status.uid,
        effective_uid=status.effective_uid,
        tracer_pid=status.tracer_pid,
        is_zombie=status.state in procfs.ENDED and procfs.find_way_in(pid, proc) == pid,
        is_child=is_child,
        other_user_namespace=not is_child and _is_in_other_user_namespace(pid, proc),
        permitted=status.permitted,
    )


def _is_in_other_user_namespace(pid: int, proc: Path) -> bool:
    """False where the kernel does not show it: another user's, and then the owner is the reason already."""
    try:
        return os.readlink(proc / str(pid) / "ns/user") != os.readlink(proc / "self/ns/user")  # noqa: PTH115
    except OSError:
        return False
