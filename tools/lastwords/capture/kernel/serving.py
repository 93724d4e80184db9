"""Whether a wait for a descriptor is a server's idleness, or a client's wait for an answer."""

from __future__ import annotations

import os
import re

from lastwords.capture import procfs
from lastwords.capture.kernel.facts import Facts
from lastwords.capture.kernel.kernel_wait import KernelWait

CHILDREN_LIMIT = 20
DESCRIPTORS_LIMIT = 1000
ACCEPTING = ("accept", "accept4")
FOR_OTHERS = ("read", "readv", "recvfrom", "recvmsg", "recvmmsg", "poll", "ppoll", "select", "pselect6", "epoll_wait",
              "epoll_pwait", "epoll_pwait2")  # fmt: skip
FOR_ANYBODY = ("terminal", "pty master", "inotify", "signalfd", "timerfd", "eventfd", "epoll")


def is_serving(wait: KernelWait, facts: Facts) -> bool | None:
    """Whether it waits for what others may want: to connect, to ask on a connection that they made, to type.

    True if any of its descriptors is one for that, False where each is the way to somebody whose answer it wants:
    a connection that it made itself, a pipe from a child. None where that is not to be told, and for other calls.
    True, too, of a wait for the end of a child that is a server itself: what reloaders and supervisors do all day.
    """
    if wait.call in ACCEPTING:
        return True
    if wait.kind == "process":
        pids = [wait.pid] if wait.pid else [child.pid for child in facts.children]
        return True if any(_listens(pid, facts) for pid in pids[:CHILDREN_LIMIT]) else None
    if wait.kind != "io" or wait.call not in FOR_OTHERS or not wait.fds:
        return None
    found = [_is_for_others(fd, facts) for fd in wait.fds]
    if any(found):
        return True
    return None if None in found else False


def _listens(pid: int, parents: Facts) -> bool:
    """Whether a child has opened a socket that listens, or was given one: not a copy that a fork left it with."""
    child = Facts(pid, parents.proc)
    inherited = set(parents.all_descriptors().values())
    for fd, target in list(child.all_descriptors().items())[:DESCRIPTORS_LIMIT]:
        found = child.descriptor(fd) if target.startswith("socket:") else None
        is_listening = found is not None and found.socket is not None and found.socket.state == "listening"
        if is_listening and (target not in inherited or not _closes_on_exec(pid, fd, parents)):
            return True
    return False


def _closes_on_exec(pid: int, fd: int, facts: Facts) -> bool:
    """What a program opens does so, unless it means to hand it to another program."""
    try:
        found = re.search(r"^flags:\s*([0-7]+)$", procfs.read_text(pid, f"fdinfo/{fd}", facts.proc), re.MULTILINE)
    except (OSError, procfs.ProcessGoneError):
        return True
    return found is None or bool(int(found[1], 8) & os.O_CLOEXEC)


def _is_for_others(fd: int, facts: Facts) -> bool | None:
    found = facts.descriptor(fd)
    if found is None:
        return None
    if found.kind in FOR_ANYBODY:
        return True
    if found.socket is not None:
        return _is_asked(fd, facts)
    return _comes_from_above(fd, facts) if found.kind in ("pipe", "fifo") else None


def _is_asked(fd: int, facts: Facts) -> bool | None:
    """A socket that listens, takes datagrams of anybody, or was connected to; or one of a pair that wakes a loop."""
    found = facts.descriptor(fd)
    socket = found.socket if found is not None else None
    if socket is None:
        return None
    if socket.state in ("listening", "unconnected") or facts.was_accepted(fd):
        return True
    if socket.protocol in ("TCP", "UDP"):
        return False
    other = facts.other_end(fd)
    return True if other is not None and other.pids == (facts.pid,) else None


def _comes_from_above(fd: int, facts: Facts) -> bool | None:
    """A pipe to which one above it writes, or the process itself, or nobody that we may see.

    Not its parent alone: between workers and who starts them may be multiprocessing's fork server.
    """
    other = facts.other_end(fd)
    if other is not None and not {facts.pid, *facts.ancestors}.isdisjoint(other.pids):
        return True
    return not other.pids if other is not None and other.is_complete else None  # else the one above may be unseen
