"""A process and its descendants, as /proc shows them at one look."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from lastwords.capture import procfs
from lastwords.capture.kernel.peers import list_pids
from lastwords.capture.procfs import PROC, ProcessGoneError


class Member(msgspec.Struct, frozen=True):
    """`started` (clock ticks since boot) tells it from another with the same pid; `argv` is its name where it has none.

    state: the letter of /proc/PID/stat
    """

    pid: int
    ppid: int
    state: str
    started: int
    argv: tuple[str, ...]


def list_family(root: int, proc: Path = PROC) -> list[Member]:
    """`root` and all below it, each before its children; empty where there is no `root`. Not we, nor what we started.

    Who lost its parent belongs to nobody's family any more.
    """
    found = {pid: one for pid in list_pids(proc) if pid != os.getpid() and (one := _look(pid, proc))}
    children: dict[int, list[Member]] = {}
    for one in found.values():
        children.setdefault(one.ppid, []).append(one)
    family = [found[root]] if root in found else []
    for one in family:
        family += children.get(one.pid, ())
    return [_name(one, proc) for one in family]


def _look(pid: int, proc: Path) -> Member | None:
    try:
        before, _, after = procfs.read_text(pid, "stat", proc).rpartition(")")
    except (OSError, ProcessGoneError):
        return None
    words = after.split()
    return Member(pid, int(words[1]), words[0], int(words[19]), (before.partition("(")[2],))


def _name(one: Member, proc: Path) -> Member:
    try:
        argv = tuple(procfs.read_cmdline(one.pid, proc))
    except (OSError, ProcessGoneError):
        argv = ()
    return msgspec.structs.replace(one, argv=argv) if argv else one
