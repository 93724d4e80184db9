"""What hangs, read as `attach --tree` reads it, into the report of `run`; and the end of it, where that is wanted."""

from __future__ import annotations

import itertools
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from lastwords.capture.kernel.family import list_family
from lastwords.capture.launch import Child
from lastwords.errors import LastwordsError
from lastwords.examine import Options
from lastwords.examine.tree import attach_tree
from lastwords.model import Moment, Process, Report
from lastwords.watch.merge import add_part
from lastwords.watch.options import GRACE_SECONDS


def read_hung(root: int, report: Report, numbers: Iterator[int]) -> list[Moment]:
    """Add a moment of the program and of each process below it to the report; those moments.

    `numbers` are given out to moments, each once. What cannot be read is a problem of the report.
    """
    first = next(numbers)
    try:
        part = attach_tree(root, Options(), first=first)
    except LastwordsError as error:
        report.problems.append(f"what hangs could not be read: {error.fact}")
        return []
    for _ in itertools.islice(numbers, len(part.moments) - 1):
        pass
    for moment in part.moments:
        moment.reason = "hang"
    if len(part.processes) > 1:
        report.window_ms = part.window_ms
    _add(report, part)
    return part.moments


def _add(report: Report, part: Report) -> None:
    """All that `part` has."""
    known = {process.id: process for process in report.processes}
    for process in part.processes:
        if process.id in known:
            complete(known[process.id], process)
        else:
            report.processes.append(process)
    add_part(report, part)


def complete(process: Process, other: Process) -> None:
    """What only `other`, which is the same process, knows of it."""
    for field in msgspec.structs.fields(process):
        if not getattr(process, field.name):
            setattr(process, field.name, getattr(other, field.name))


def end_tree(child: Child) -> None:
    """TERM to the program and to all below it; KILL to those that are there still after GRACE_SECONDS.

    Returns when the program has ended.
    """
    there = {pidfd: member.pid for member in list_family(child.pid) if (pidfd := _open(member.pid)) is not None}
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            _send(child, there, number)
            _wait_for_all(there)
    finally:
        for pidfd in there:
            os.close(pidfd)
    child.wait()


def _open(pid: int) -> int | None:
    """A descriptor that means this process, whatever its number means later; None where it is gone, or on old Linux."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _send(child: Child, there: dict[int, int], number: int) -> None:
    for pidfd in there:
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(pidfd, number)
    if child.pid not in there.values() and child.poll() is None:
        os.kill(child.pid, number)  # it is ours, and not reaped


def _wait_for_all(there: dict[int, int]) -> None:
    """Until all have ended, but GRACE_SECONDS at most: a pidfd is readable then."""
    deadline = time.monotonic() + GRACE_SECONDS
    running = set(there)
    poll = select.poll()
    for pidfd in running:
        poll.register(pidfd, select.POLLIN)
    while running and (left := deadline - time.monotonic()) > 0:
        for pidfd, _ in poll.poll(left * 1000):
            poll.unregister(pidfd)
            running.discard(pidfd)
