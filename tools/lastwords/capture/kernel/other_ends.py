"""Who has the other end of a pipe, a FIFO, a pseudo-terminal or a socket open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lastwords.capture.kernel.descriptors import DescriptorFacts, read_descriptor
from lastwords.capture.kernel.peers import Holder, OpenFiles, describe_process
from lastwords.capture.kernel.sockets import Socket, Sockets
from lastwords.capture.procfs import PROC

NOT_TOLD = "who has the other end is told only inside its network namespace"
SHOWN = 3  # processes of many that are named


class OtherEnd(msgspec.Struct, frozen=True):
    """Who has the other end of a descriptor. `text` says it; `is_complete` is False where some could not be seen."""

    text: str
    pids: tuple[int, ...] = ()
    is_complete: bool = True


class OtherEnds:
    """The other ends of the descriptors of one process. Nothing here raises."""

    def __init__(self, pid: int, sockets: Sockets, open_files: OpenFiles, proc: Path = PROC) -> None:
        self._pid = pid
        self._sockets = sockets
        self._open_files = open_files
        self._proc = proc

    def find(self, one: DescriptorFacts) -> OtherEnd | None:
        """That of a pipe, FIFO, pty or connected socket; None for what has none."""
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
            facts = (read_descriptor(holder.pid, fd, self._proc) for fd in holder.fds)
            fds = tuple(other.fd for other in facts if other is not None and fits(other))
            found += [Holder(holder.pid, fds)] if fds else []
        return found

    def _neighbours(self, holders: Iterable[Holder]) -> list[Holder]:
        """Those in our mount namespace: another one has terminals of its own, under the same names."""
        here = read_namespace(self._pid, "mnt", self._proc)
        return [holder for holder in holders if read_namespace(holder.pid, "mnt", self._proc) == here]

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
        if one.protocol == "unix":
            return OtherEnd("not accepted yet") if other is not None else self._tell_closed()
        return OtherEnd("the other end is elsewhere", is_complete=False)

    def _tell_closed(self) -> OtherEnd | None:
        return OtherEnd(NOT_TOLD, is_complete=False) if self._sockets.is_closed else None

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
        if holder.pid == self._pid:
            return f"this process itself (fd {', '.join(map(str, holder.fds))})"
        return describe_process(holder.pid, self._proc)


def _is_other_end(one: DescriptorFacts, other: DescriptorFacts) -> bool:
    """Whether what one reads the other writes. Who has both ends in one descriptor (a FIFO) has the other, too."""
    if one.inode != other.inode:
        return False
    return other.end == "both" or one.end == "both" or (other.end is not None and one.end != other.end)


def read_namespace(pid: int | str, kind: str, proc: Path = PROC) -> str | None:
    """Which namespace a process is in ("mnt:[4026531840]"); None where the kernel does not show it."""
    try:
        return os.readlink(proc / str(pid) / "ns" / kind)  # noqa: PTH115 - it is no path
    except OSError:
        return None
