"""What one descriptor of a process is open on: /proc/PID/fd/N and /proc/PID/fdinfo/N, in words."""

from __future__ import annotations

import os
import re
import signal
import stat
from pathlib import Path
from typing import Literal

import msgspec

from lastwords.capture.kernel.sockets import Socket
from lastwords.capture.procfs import PROC

Kind = Literal[
    "file", "pipe", "fifo", "socket", "terminal", "pty master", "epoll", "eventfd", "timerfd", "signalfd", "inotify",
    "pidfd", "other",
]  # fmt: skip
End = Literal["read", "write", "both"]

LINES_LIMIT = 10_000  # of fdinfo: an epoll has one for each descriptor that it watches
ANONYMOUS: dict[str, Kind] = {
    "eventpoll": "epoll", "eventfd": "eventfd", "timerfd": "timerfd", "signalfd": "signalfd", "inotify": "inotify",
    "pidfd": "pidfd",
}  # fmt: skip
NETWORKED = r"(nfs4?|cifs|smb3|fuse(\..*)?|9p|ceph|lustre|afs)"  # where a stat may hang for ever
EVENTS = {0x1: "read", 0x2: "read out of band", 0x4: "write"}  # errors and hang-ups are always told


class Watched(msgspec.Struct, frozen=True):
    """A descriptor that an epoll watches: its number when it was added, and for which events.

    `is_stale`: that number is open on something else by now.
    """

    fd: int
    events: int
    is_stale: bool = False


class DescriptorFacts(msgspec.Struct, frozen=True):
    """One open descriptor of the target.

    target: as `/proc/PID/fd` names it; end: how it is open
    filesystem: the type of the file system of a file; inode: of the file
    detail: what else the kernel tells: an eventfd's count, a timerfd's time, a signalfd's signals
    pid: the process of a pidfd; tty: the number of a pty master's terminal
    """

    fd: int
    target: str
    kind: Kind
    end: End | None = None
    inode: int | None = None
    filesystem: str | None = None
    watched: tuple[Watched, ...] = ()
    detail: str | None = None
    pid: int | None = None
    tty: int | None = None
    socket: Socket | None = None


def read_descriptor(pid: int, fd: int, proc: Path = PROC) -> DescriptorFacts | None:
    """What /proc tells of one descriptor, its `socket` left out; None where it is not open or may not be seen."""
    directory = proc / str(pid)
    try:
        target = os.fsdecode(os.readlink(directory / "fd" / str(fd)))  # noqa: PTH115 - pathlib drops "//" and "."
    except OSError:
        return None
    lines = _read_info(directory / "fdinfo" / str(fd))
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    filesystem = _find_filesystem(directory, fields.get("mnt_id", "")) if target.startswith("/") else None
    kind = _kind_of(target, directory / "fd" / str(fd), filesystem)
    return DescriptorFacts(
        fd=fd,
        target=target,
        kind=kind,
        end=_end_of(fields.get("flags", "")),
        inode=_inode_of(target, fields),
        filesystem=filesystem,
        watched=tuple(_read_watched(pid, lines, proc)) if kind == "epoll" else (),
        detail=_detail_of(kind, fields),
        pid=_int(fields.get("Pid")) if kind == "pidfd" else None,
        tty=_int(fields.get("tty-index")) if kind == "pty master" else None,
    )


def _read_info(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line for line, _ in zip(file, range(LINES_LIMIT), strict=False)]
    except OSError:
        return []


def _int(text: str | None, base: int = 10) -> int | None:
    try:
        return int(text, base) if text else None
    except ValueError:
        return None


def _end_of(flags: str) -> End | None:
    number = _int(flags, 8)
    ends: dict[int, End] = {os.O_RDONLY: "read", os.O_WRONLY: "write", os.O_RDWR: "both"}
    return None if number is None else ends.get(number & os.O_ACCMODE)


def _inode_of(target: str, fields: dict[str, str]) -> int | None:
    found = re.fullmatch(r"(?:pipe|socket):\[(\d+)\]", target)
    return int(found.group(1)) if found else _int(fields.get("ino"))


def _kind_of(target: str, path: Path, filesystem: str | None) -> Kind:
    if target.startswith(("pipe:[", "socket:[")):
        return "pipe" if target.startswith("pipe") else "socket"
    anonymous = re.fullmatch(r"anon_inode:\[?(\w+)\]?|(pidfd):\[\d+\]", target)
    if anonymous:
        return ANONYMOUS.get(anonymous.group(1) or anonymous.group(2), "other")
    if target in ("/dev/ptmx", "/dev/pts/ptmx"):
        return "pty master"
    if re.match(r"/dev/(pts/\d|tty|console)", target):
        return "terminal"
    if not target.startswith("/"):
        return "other"
    return "fifo" if _is_fifo(path, filesystem) else "file"


def _is_fifo(path: Path, filesystem: str | None) -> bool:
    """Asks the file itself, where that cannot hang."""
    if filesystem is None or re.fullmatch(NETWORKED, filesystem):
        return False
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False


def _find_filesystem(directory: Path, mount: str) -> str | None:
    """The type of the mounted file system with this id: the word behind " - " of its line in mountinfo."""
    if not mount:
        return None
    try:
        text = (directory / "mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{re.escape(mount)} .* - (\S+) ", text, re.MULTILINE)
    return found.group(1) if found else None


_WATCHED = r"tfd:\s*(\d+)\s+events:\s*([0-9a-f]+)(?:.*\bino:\s*([0-9a-f]+))?"


def _read_watched(pid: int, lines: list[str], proc: Path) -> list[Watched]:
    """The `tfd` lines (fs/eventpoll.c, ep_show_fdinfo); by inode they tell whether the number is still the same."""
    found = [match for line in lines if (match := re.match(_WATCHED, line))]
    watched = []
    for match in found:
        fd, events, inode = int(match[1]), int(match[2], 16), _int(match[3], 16)
        try:
            target = os.readlink(proc / str(pid) / "fd" / str(fd))  # noqa: PTH115
        except OSError:
            target = None
        now = _inode_of(target, {}) if target else None
        is_stale = target is None or (now is not None and inode is not None and now != inode)
        watched.append(Watched(fd, events, is_stale))
    return watched


def _detail_of(kind: Kind, fields: dict[str, str]) -> str | None:
    if kind == "eventfd" and "eventfd-count" in fields:
        return f"its count is {_int(fields['eventfd-count'], 16)}"
    if kind == "signalfd" and "sigmask" in fields:
        return f"for {format_signals(_int(fields['sigmask'], 16) or 0)}"
    if kind == "timerfd" and "it_value" in fields:
        found = re.fullmatch(r"\((\d+), (\d+)\)", fields["it_value"])
        if found:
            left = int(found[1]) + int(found[2]) / 1e9
            return f"it expires in {left:.3g} s" if left else "it is not armed"
    return None


def format_signals(mask: int) -> str:
    """The signals of a mask, bit 0 for signal 1: "SIGINT, SIGTERM"; "no signal" for none."""
    names = {one.value: one.name for one in signal.Signals}
    found = [names.get(bit + 1, f"signal {bit + 1}") for bit in range(64) if mask >> bit & 1]
    return ", ".join(found) if len(found) <= 8 else f"{', '.join(found[:8])} and {len(found) - 8} more"


def format_events(events: int) -> str:
    """The bits of poll(2) and epoll(7) in words: "read", "read or write"."""
    return " or ".join(name for bit, name in EVENTS.items() if events & bit) or "see errors"


def name_descriptor(one: DescriptorFacts) -> str:
    """What it is, in a few words: "a pipe", "the file /tmp/x", "TCP, listening on 0.0.0.0:80"."""
    if one.kind == "socket":
        return _name_socket(one.socket)
    if one.kind in ("file", "fifo"):
        where = f" on {one.filesystem}" if one.filesystem and re.fullmatch(NETWORKED, one.filesystem) else ""
        return f"the {'FIFO' if one.kind == 'fifo' else 'file'} {one.target}{where}"
    if one.kind == "terminal":
        return f"the terminal {one.target}"
    if one.kind == "pidfd":
        return f"a pidfd of process {one.pid}" if one.pid and one.pid > 0 else "a pidfd"
    words = {"epoll": "an epoll", "eventfd": "an eventfd", "inotify": "an inotify", "pty master": "a pty's master"}
    name = words.get(one.kind) or (one.target if one.kind == "other" else f"a {one.kind}")
    return f"{name}, {one.detail}" if one.detail else name


def _name_socket(one: Socket | None) -> str:
    if one is None:
        return "a socket"
    if one.protocol == "unix":
        name = f"a unix socket {one.local}" if one.local else "a unix socket"
        return f"{name} that listens" if one.state == "listening" else name
    if one.state == "listening":
        return f"{one.protocol}, listening on {one.local}"
    if one.remote is None:
        return f"{one.protocol}, {one.local}"
    state = "" if one.state in ("established", None) else f", {one.state}"
    return f"{one.protocol} {one.local} to {one.remote}{state}"
