"""What the kernel tells of a process besides its memory: what it has open and with whom, its children, file locks.

Lazy: nothing is read before it is asked for, and who has the other end of something only where a thread waits for it.
"""

from __future__ import annotations

import re
import time
from functools import cached_property
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lastwords.capture import procfs
from lastwords.capture.kernel.descriptors import DescriptorFacts, name_descriptor, read_descriptor
from lastwords.capture.kernel.file_locks import FileLock, find_blockers
from lastwords.capture.kernel.other_ends import OtherEnd, OtherEnds, read_namespace
from lastwords.capture.kernel.peers import OpenFiles, describe_process, format_argv, list_pids
from lastwords.capture.kernel.sockets import Sockets
from lastwords.capture.procfs import PROC

ANCESTORS_LIMIT = 20
CHILDREN_LIMIT = 10_000
STATES = {
    "R": "running", "S": "sleeping", "D": "in an uninterruptible sleep", "T": "stopped", "t": "stopped by a tracer",
    "Z": "a zombie", "X": "dead", "I": "idle",
}  # fmt: skip


class Child(msgspec.Struct, frozen=True):
    """A child process: `state` is the kernel's letter, "Z" for one that has ended and was not waited for.

    group: its process group, as the target calls it (in another pid namespace it has another number for us)
    """

    pid: int
    state: str
    group: int
    argv: tuple[str, ...]

    def describe(self) -> str:
        """ "process 1234 (sleep 100), sleeping"."""
        name = f"process {self.pid} ({format_argv(list(self.argv))})" if self.argv else f"process {self.pid}"
        return f"{name}, {STATES.get(self.state, self.state)}"


class Facts:
    """See `read_facts`. Nothing here raises: what may not be read, or has ended meanwhile, is not there."""

    def __init__(self, pid: int, proc: Path = PROC, open_files: OpenFiles | None = None) -> None:
        self.pid = pid
        self.proc = proc
        self._sockets = Sockets(pid, proc)
        self._open_files = open_files or OpenFiles(proc)
        self._find_other_end = OtherEnds(pid, self._sockets, self._open_files, proc).find
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

    def was_accepted(self, fd: int) -> bool:
        """Whether this descriptor is a connection that came in by a listening socket of this host."""
        found = self.descriptor(fd)
        socket = found.socket if found is not None else None
        return socket is not None and socket.state != "listening" and self._sockets.find_acceptor(socket) is not None

    def describe_process(self, pid: int) -> str:
        """ "process 1234 (python worker.py)"."""
        return "this process itself" if pid == self.pid else describe_process(pid, self.proc)

    def is_there(self, pid: int) -> bool:
        """Whether there is a process with this pid."""
        return (self.proc / str(pid)).exists()

    @cached_property
    def shares_clocks(self) -> bool:
        """Whether its monotonic clock is ours: it is in the same time namespace."""
        return read_namespace(self.pid, "time", self.proc) == read_namespace("self", "time", self.proc)

    def clock_start(self, clock: int) -> float | None:
        """The time of the epoch at which this clock of the process was 0; None where its clocks are not ours."""
        return time.time() - time.clock_gettime(clock) if self.shares_clocks else None

    def group_of(self, pid: int) -> int | None:
        """The process group of a process, as the target calls it."""
        found = self._read_stat(pid)
        return None if found is None else self._inner_number(pid, "NSpgid", found[2])

    def outer_pid(self, pid: int) -> int | None:
        """Our pid of the child that the target calls `pid`, which differs where its pid namespace is not ours."""
        if not self._depth:
            return pid
        return next((one for one in self._child_pids() if self._inner_number(one, "NSpid", 0) == pid), None)

    @cached_property
    def _depth(self) -> int:
        """How many pid namespaces lie between ours and the target's."""
        return max(len(self._read_numbers(self.pid, "NSpid")) - 1, 0)

    def _inner_number(self, pid: int, name: str, ours: int) -> int:
        """What the target has for `ours`, by the line `name` of the status of `pid`: one number a namespace."""
        numbers = self._read_numbers(pid, name) if self._depth else []
        return numbers[self._depth] if self._depth < len(numbers) else ours

    def _read_numbers(self, pid: int, name: str) -> list[int]:
        try:
            found = re.search(rf"^{name}:(.*)$", procfs.read_text(pid, "status", self.proc), re.MULTILINE)
            return [int(word) for word in found[1].split()] if found else []
        except (OSError, ValueError, procfs.ProcessGoneError):
            return []

    @cached_property
    def children(self) -> list[Child]:
        """The child processes, by rising pid."""
        found = ((pid, stat) for pid in self._child_pids() if (stat := self._read_stat(pid)) is not None)
        return [
            Child(pid, stat[0], self._inner_number(pid, "NSpgid", stat[2]), self._argv(pid))
            for pid, stat in found
            if stat[1] == self.pid
        ]

    @cached_property
    def ancestors(self) -> list[int]:
        """The pids of its parent, of that one's parent, and so on."""
        found: list[int] = []
        stat = self._read_stat(self.pid)
        while stat and stat[1] and len(found) < ANCESTORS_LIMIT:
            found.append(stat[1])
            stat = self._read_stat(stat[1])
        return found

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

    def sharers(self, fd: int) -> list[int]:
        """The other processes that have the same file open."""
        found = self.descriptor(fd)
        holders = self._open_files.holders(found.target) if found is not None else []
        return [holder.pid for holder in holders if holder.pid != self.pid]


def read_facts(pid: int, proc: Path = PROC, open_files: OpenFiles | None = None) -> Facts:
    """What /proc, or a recorded copy of it, tells of a process; read when it is asked for, each thing once.

    `open_files` is what several processes' facts may share: who has what open.
    """
    return Facts(pid, proc, open_files)
