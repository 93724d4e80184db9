"""The report's frame: the process as /proc describes it, the moment as the capture does."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from lastwords import __version__
from lastwords.capture import procfs
from lastwords.capture.captured import Captured
from lastwords.capture.kernel.facts import Facts
from lastwords.capture.kernel.standing import read_caught_signals, was_forked
from lastwords.model import Capture, Descriptor, Mode, Moment, Process, Report, Tool


def new_report(mode: Mode) -> Report:
    """A report that says nothing yet."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(tool=Tool(version=__version__), mode=mode, captured_at=now)


def describe_process(pid: int, facts: Facts | None, proc: Path = procfs.PROC) -> Process:
    """What /proc says of a process, its number one of those by which it is shown. Raises ProcessGoneError."""
    leader = procfs.read_status(pid, proc).leader
    status = procfs.read_status(leader, proc)
    process = Process(
        id=f"process-{leader}",
        pid=leader,
        ns_pid=status.ns_pids[-1] if len(status.ns_pids) > 1 else None,
        ppid=status.ppid,
        argv=procfs.read_cmdline(pid, proc),
        namespaces=procfs.read_namespaces(pid, proc),
        fds=_read_descriptors(facts) if facts else [],
    )
    process.executable = _link_or_none(pid, "exe", proc)
    process.cwd = _link_or_none(pid, "cwd", proc)
    with suppress(OSError):
        process.forked = was_forked(leader, proc)
        process.signals_caught = read_caught_signals(pid, proc)
    return process


def _read_descriptors(facts: Facts) -> list[Descriptor]:
    try:
        return [Descriptor(fd=fd, target=target) for fd, target in facts.all_descriptors().items()]
    except PermissionError:  # /proc/PID/fd needs more than /proc/PID/status
        return []


def _link_or_none(pid: int, name: str, proc: Path) -> str | None:
    try:
        return procfs.read_link(pid, name, proc)
    except OSError:
        return None


def new_moment(
    identity: str, process: str, reason: Literal["attach", "unraisable", "fatal", "hang", "core"], captured: Captured
) -> Moment:
    """The moment, and how it was captured."""
    capture = Capture(
        method=captured.method,
        pause_ms=captured.pause_ms,
        bytes=captured.size,
        complete=not captured.problems,
        problems=list(captured.problems),
    )
    return Moment(id=identity, process=process, reason=reason, capture=capture)
