"""A process of a tree whose memory is not read: what /proc alone tells of it."""

from __future__ import annotations

from collections.abc import Sequence

from lastwords.capture.captured import KernelThread
from lastwords.capture.kernel.facts import Facts
from lastwords.capture.kernel.scheduler import Slept, read_slept
from lastwords.capture.kernel.syscall_waits import describe_syscall_wait
from lastwords.capture.memory import Range, ReadError
from lastwords.capture.procfs import ProcessGoneError
from lastwords.capture.stop.kernel_threads import read_kernel_threads
from lastwords.examine.entities import Entities
from lastwords.examine.threads import make_bare_thread
from lastwords.model import Capture, Moment, Process, Report, Thread, WaitsFor

METHOD = "not read, /proc alone"


class _NoMemory:
    """Nothing can be read of it."""

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        raise ReadError("its memory is not read", "unreadable")

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        return [None] * len(ranges)


def add_unread(report: Report, number: int, process: Process, facts: Facts, why: str | None) -> list[Thread]:
    """The process, its threads, which are returned, and the system calls that they are in.

    why: None where it is simply no Python
    """
    report.problems += [why.rstrip(".")] if why else []
    capture = Capture(method=METHOD, complete=not why)
    moment = Moment(id=f"moment-{number}", process=process.id, reason="attach", capture=capture)
    report.processes.append(process)
    report.moments.append(moment)
    entities = Entities(report, moment, [])
    threads = _read_threads(facts)
    slept = read_slept(facts.pid, [one.tid for one in threads], facts.proc)
    made = [_make_thread(entities, found, facts, slept.get(found.tid)) for found in threads]
    report.threads += made
    return made


def _read_threads(facts: Facts) -> list[KernelThread]:
    try:
        return read_kernel_threads(facts.pid, facts.proc, _NoMemory())
    except (OSError, ProcessGoneError):
        return []


def _make_thread(entities: Entities, found: KernelThread, facts: Facts, slept: Slept | None) -> Thread:
    thread = make_bare_thread(entities, found)
    thread.idle_s = slept.seconds if slept else None
    wait = describe_syscall_wait(found, _NoMemory(), facts)
    if wait is not None:
        kind = "unknown" if wait.kind == "futex" else wait.kind
        thread.waits_for = WaitsFor(
            kind=kind,
            detail=wait.detail,
            certainty="likely",
            call=wait.call,
            until=wait.until,
            has_timeout=wait.has_timeout,
            pid=wait.pid,
            pids=list(wait.pids) if wait.pids is not None else None,
        )
    return thread
