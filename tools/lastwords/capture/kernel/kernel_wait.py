"""What a thread waits for in the kernel, and what it takes to say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from lastwords.capture.kernel.facts import Facts
from lastwords.capture.kernel.syscall_arguments import to_int
from lastwords.capture.memory import Memory


class KernelWait(msgspec.Struct, frozen=True):
    """What a thread waits for, as far as the kernel knows.

    call: the system call's name; detail: all of it in words
    fd: where it is one descriptor; fds: all of those that are waited for
    peer: who is at the other end, in words; pid: the one process it waits for: a child, the other end, a lock's holder
    pids: the processes that have other ends of any of `fds`, itself among them, or whose end one of these (a pidfd)
        tells; None where not all are known
    until: seconds of the epoch, None: for ever, or for a time whose beginning nobody knows
    has_timeout: whether it ends by itself, at `until` or after such a time
    """

    kind: Literal["io", "process", "sleep", "futex", "unknown"]
    call: str
    detail: str
    fd: int | None = None
    peer: str | None = None
    pid: int | None = None
    until: float | None = None
    fds: tuple[int, ...] = ()
    has_timeout: bool = False
    pids: tuple[int, ...] | None = None


class Call(msgspec.Struct, frozen=True):
    """A system call to be described."""

    name: str
    arguments: tuple[int, ...]
    memory: Memory
    facts: Facts | None

    def number(self, index: int) -> int:
        """An argument as a C `int`."""
        return to_int(self.arguments[index])

    def describe(self, fd: int) -> str:
        """A descriptor in words; its number alone in a core."""
        return self.facts.describe(fd) if self.facts is not None else f"fd {fd}"

    def io(self, fd: int, detail: str) -> KernelWait:
        """A wait for one descriptor, with who is at its other end."""
        other = self.facts.other_end(fd) if self.facts is not None else None
        peer = other.text if other is not None else None
        pid, pids = self.sole_peer((fd,)), self.peers((fd,))
        return KernelWait("io", self.name, detail, fd=fd, peer=peer, pid=pid, fds=(fd,), pids=pids)

    def sole_peer(self, fds: Sequence[int]) -> int | None:
        """The one process that has all their other ends, and is alone in that; None where there is no such."""
        others = [self.facts.other_end(fd) for fd in fds] if self.facts is not None else []
        pids = {one.pids if one is not None and one.is_complete else () for one in others}
        found = pids.pop() if len(pids) == 1 else ()
        return found[0] if len(found) == 1 else None

    def peers(self, fds: Sequence[int]) -> tuple[int, ...] | None:
        """The processes that can make these ready; None where of one nobody is known who can, or not all were seen."""
        found = [self._find_peers(fd) for fd in fds]
        return tuple(sorted({pid for pids in found for pid in pids or ()})) if None not in found else None

    def _find_peers(self, fd: int) -> tuple[int, ...] | None:
        if self.facts is None:
            return None
        one, other = self.facts.descriptor(fd), self.facts.other_end(fd)
        if one is not None and one.pid is not None and one.pid > 0:
            return (one.pid,)
        return other.pids if other is not None and other.is_complete else None
