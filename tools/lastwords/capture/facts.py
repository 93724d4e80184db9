"""What the kernel tells of a process besides its memory: what it has open and with whom, its children, file locks.

Lazy: nothing is read before it is asked for, and who has the other end of something only where a thread waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lastwords.capture import procfs
from lastwords.capture.descriptors import DescriptorFacts, name_descriptor, read_descriptor
from lastwords.capture.file_locks import FileLock, find_blockers
from lastwords.capture.peers import Holder, OpenFiles, describe_process, format_argv, list_pids
from lastwords.capture.procfs import PROC
from lastwords.capture.sockets import Socket, Sockets

CHILDREN_LIMIT = 10_000
SHOWN = 3  # processes of many that are named
STATES = {
    "R": "running", "S": "sleeping", "D": "in an uninterruptible sleep", "T": "stopped", "t": "stopped by a tracer",
    "Z": "a zombie", "X": "dead", "I": "idle",
}  # fmt: skip


@dataclass(frozen=True)
class Child:
    """A child process: `state` is the kernel's letter, "Z" for one that has ended and was not waited for."""

    pid: int
    state: str
    group: int
    argv: tuple[str, ...]

    def describe(self) -> str:
        """ "process 1234 (sleep 100), sleeping"."""
        name = f"process {self.pid} ({format_argv(list(self.argv))})" if self.argv else f"process {self.pid}"
        return f"{name}, {STATES.get(self.state, self.state)}"


@dataclass(frozen=True)
class OtherEnd:
    """Who has the other end of a descriptor. `text` says it; `is_complete` is False where some could not be seen."""

    text: str
    pids: tuple[int, ...] = ()
    is_complete: bool = True


class Facts:
    """See `read_facts`. Nothing here raises: what may not be read, or has ended meanwhile, is not there."""

    def __init__(self, pid: int, proc: Path = PROC) -> None:
        self.pid = pid
        self.proc = proc
        self._sockets = Sockets(pid, proc)
        self._open_files = OpenFiles(proc)
        self._descriptors: dict[int, DescriptorFacts | None] = {}
        self._other_ends: dict[int, OtherEnd | None] = {}

    def descriptor(self, fd: int) -> DescriptorFacts | None:
        """What this descriptor is open on; None where it is not open."""
        if fd not in self._descriptors:
            found = read_descriptor(self.pid, fd, self.proc)
            if found is not None and found.kind == "socket" and found.inode is not None:
                found = replace(found, socket=self._sockets.find(found.inode))
            self._descriptors[fd] = found
        return self._descriptors[fd]

    def all_descriptors(self) -> dict[int, str]:
        """What each is open on, as /proc names it, by number; whoever has the other end is not looked for."""
        try:
            return dict(sorted(procfs.read_fds(self.pid, self.proc).items()))
        except (OSError, procfs.ProcessGoneError):
            return {}

    def describe(self, fd: int) -> str:
        """ "fd 5, a pipe; the other end: process 1234 (python worker.py)"."""
        found = self.descriptor(fd)
        if found is None:
            return f"fd {fd}"
        other = self.other_end(fd)
        return f"fd {fd}, {name_descriptor(found)}" + (f"; {other.text}" if other is not None else "")

    def other_end(self, fd: int) -> OtherEnd | None:
        """Who has the other end of a pipe, FIFO, pty or connected socket open; None for what has none."""
        if fd not in self._other_ends:
            found = self.descriptor(fd)
            self._other_ends[fd] = None if found is None else self._find_other_end(found)
        return self._other_ends[fd]

    def _find_other_end(self, one: DescriptorFacts) -> OtherEnd | None:
        if one.kind in ("pipe", "fifo"):
            holders = self._open_files.holders(one.target)
            return self._tell(self._with(holders, lambda other: _is_other_end(one, other)))
        if one.kind == "terminal" and one.target.startswith("/dev/pts/"):
            number = one.target.removeprefix("/dev/pts/")
            holders = [*self._open_files.holders("/dev/ptmx"), *self._open_files.holders("/dev/pts/ptmx")]
            return self._tell(self._with(self._neighbours(holders), lambda other: str(other.tty) == number))
        if one.kind == "pty master":
            return self._tell(self._neighbours(self._open_files.holders(f"/dev/pts/{one.tty}")))
        return self._find_socket_end(one.socket) if one.socket is not None else None

    def _with(self, holders: Iterable[Holder], fits: Callable[[DescriptorFacts], bool]) -> list[Holder]:
        """The holders, with those of their descriptors alone that fit."""
        found = []
        for holder in holders:
            facts = (read_descriptor(holder.pid, fd, self.proc) for fd in holder.fds)
            fds = tuple(other.fd for other in facts if other is not None and fits(other))
            found += [Holder(holder.pid, fds)] if fds else []
        return found

    def _neighbours(self, holders: Iterable[Holder]) -> list[Holder]:
        """Those in our mount namespace: another one has terminals of its own, under the same names."""
        here = self._namespace(self.pid, "mnt")
        return [holder for holder in holders if self._namespace(holder.pid, "mnt") == here]

    def _namespace(self, pid: int | str, name: str) -> str | None:
        try:
            return os.readlink(self.proc / str(pid) / "ns" / name)  # noqa: PTH115
        except OSError:
            return None

    def _find_socket_end(self, one: Socket) -> OtherEnd | None:
        if one.state == "listening" or (one.remote is None and one.state != "connected"):
            return None
        other = self._sockets.find_other_end(one)
        if other is not None and other.inode:
            return self._tell(self._open_files.holders(f"socket:[{other.inode}]"))
        if one.state == "close-wait":
            return OtherEnd("the other end was closed")
        if one.state == "syn-sent" or (other is not None and other.state == one.state == "established"):
            return self._tell_listener(one)
        if other is not None and one.protocol == "unix":
            return OtherEnd("not accepted yet")
        return None if one.protocol == "unix" else OtherEnd("the other end is elsewhere", is_complete=False)

    def _tell_listener(self, one: Socket) -> OtherEnd:
        """Who should accept a connection that is still in the queue of a listening socket, or not even there."""
        listener = self._sockets.find_listener(one)
        if listener is None:
            return OtherEnd("who listens there is elsewhere, or nobody", is_complete=False)
        told = self._tell(self._open_files.holders(f"socket:[{listener.inode}]"), "the listening socket")
        return replace(told, text=f"not accepted yet; {told.text}")

    def _tell(self, holders: list[Holder], what: str = "the other end") -> OtherEnd:
        unseen = self._open_files.unseen
        pids = tuple(holder.pid for holder in holders)
        names = ", ".join(self._name(holder) for holder in holders[:SHOWN])
        more = f" and {len(pids) - SHOWN} more" if len(pids) > SHOWN else ""
        missing = f"{unseen} processes could not be looked at" if unseen else ""
        if not pids:
            text = f"who has {what} open is not known: {missing}" if unseen else f"nobody has {what} open"
        else:
            text = f"{what}: {names}{more}" + (f" ({missing})" if unseen else "")
        return OtherEnd(text, pids, not unseen)

    def _name(self, holder: Holder) -> str:
        if holder.pid == self.pid:
            return f"this process itself (fd {', '.join(map(str, holder.fds))})"
        return describe_process(holder.pid, self.proc)

    def describe_process(self, pid: int) -> str:
        """ "process 1234 (python worker.py)"."""
        return "this process itself" if pid == self.pid else describe_process(pid, self.proc)

    @cached_property
    def shares_clocks(self) -> bool:
        """Whether its monotonic clock is ours: it is in the same time namespace."""
        return self._namespace(self.pid, "time") == self._namespace("self", "time")

    def group_of(self, pid: int) -> int | None:
        """The process group of a process."""
        found = self._read_stat(pid)
        return None if found is None else found[2]

    @cached_property
    def children(self) -> list[Child]:
        """The child processes, by rising pid."""
        found = ((pid, stat) for pid in self._child_pids() if (stat := self._read_stat(pid)) is not None)
        return [Child(pid, stat[0], stat[2], self._argv(pid)) for pid, stat in found if stat[1] == self.pid]

    def child(self, pid: int) -> Child | None:
        """The child with this pid."""
        return next((child for child in self.children if child.pid == pid), None)

    def _child_pids(self) -> list[int]:
        files = (self.proc / str(self.pid) / "task").glob("*/children")
        try:
            found = [int(word) for file in files for word in file.read_text().split()]
        except (OSError, ValueError):
            found = []
        if not found:  # none, or a kernel without CONFIG_PROC_CHILDREN
            found = [pid for pid in list_pids(self.proc) if (stat := self._read_stat(pid)) and stat[1] == self.pid]
        return sorted(set(found))[:CHILDREN_LIMIT]

    def _read_stat(self, pid: int) -> tuple[str, int, int] | None:
        """State, parent and process group of a process; None where it has ended."""
        try:
            words = procfs.read_text(pid, "stat", self.proc).rpartition(")")[2].split()
            return words[0], int(words[1]), int(words[2])
        except (OSError, procfs.ProcessGoneError, IndexError, ValueError):
            return None

    def _argv(self, pid: int) -> tuple[str, ...]:
        """A zombie has none any more, only its name."""
        try:
            return tuple(procfs.read_cmdline(pid, self.proc)) or (procfs.read_status(pid, self.proc).name,)
        except (OSError, procfs.ProcessGoneError):
            return ()

    def lock_blockers(self, fd: int, kind: str) -> list[FileLock]:
        """The file locks of `kind` (see FileLock) that a request of this process for `fd` waits for."""
        found = self.descriptor(fd)
        return find_blockers(self.pid, kind, found.inode, self.proc) if found is not None else []

    def holders(self, fd: int) -> Iterator[int]:
        """The other processes that have the same file open."""
        found = self.descriptor(fd)
        for holder in self._open_files.holders(found.target) if found is not None else ():
            if holder.pid != self.pid:
                yield holder.pid


def _is_other_end(one: DescriptorFacts, other: DescriptorFacts) -> bool:
    """Whether what one reads the other writes. Who has both ends in one descriptor (a FIFO) has the other, too."""
    if one.inode != other.inode:
        return False
    return other.end == "both" or one.end == "both" or (other.end is not None and one.end != other.end)


def read_facts(pid: int, proc: Path = PROC) -> Facts:
    """What /proc, or a recorded copy of it, tells of a process; read when it is asked for, each thing once."""
    return Facts(pid, proc)
