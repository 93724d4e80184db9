"""Every thread of a process that has met a fatal signal, read before the signal reaches it.

Whether the process dies of it is seen later: faulthandler, a sandbox or a JIT may handle it. So a crash waits here,
and is reported only when the process has ended by that very signal.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lastwords.capture.gdb import GdbSession
from lastwords.cpython import Interpreter, ReadError, read_pending_exception
from lastwords.errors import LastwordsError
from lastwords.examine.describe import new_report
from lastwords.frames import python_frames
from lastwords.model import Capture, Caught, Exit, Moment, Report, Thread
from lastwords.watch.bystanders import Standing
from lastwords.watch.stops import Stop, stop_from_event

STOP_SECONDS = 2.0
Reader = Callable[[int], Interpreter]
ReadThreads = Callable[[Interpreter, Moment, Sequence[Standing]], Report]


@dataclass
class Crash:
    """What was read of a process when the signal came; `part` has its threads."""

    number: int
    moment: Moment
    caught: Caught
    part: Report


@dataclass
class Halted:
    """The threads of one process that stand still, and the events of others that came meanwhile."""

    stops: list[Stop]
    others: list[dict[str, Any]] = field(default_factory=list)
    missing: int = 0


def halt(session: GdbSession, first: Stop) -> Halted:
    """Stop the other threads of the process in which `first` stands still, for at most `STOP_SECONDS`."""
    asked = set(session.order("interrupt", pid=first.pid).get("tids", []))
    halted = Halted([first])
    deadline = time.monotonic() + STOP_SECONDS
    while asked and time.monotonic() < deadline:
        event = session.next_event(deadline - time.monotonic())
        if event is not None and event.get("event") == "stop" and event["tid"] in asked:
            asked.discard(event["tid"])
            halted.stops.append(stop_from_event(event))
        elif event is not None:
            halted.others.append(event)
    halted.missing = len(asked)
    return halted


def read_crash(
    standing: Sequence[Standing], reader: Reader, read_threads: ReadThreads, moment: Moment, message: str | None
) -> Crash:
    """The stacks of all threads of a process; the first of those that gdb holds is the one with the signal."""
    first = standing[0]
    part, error = _read_threads(standing, reader, read_threads, moment)
    thread = next((one for one in part.threads if one.tid == first.stop.tid), None)
    caught = Caught(
        id=f"{moment.id}-exception",
        process=moment.process,
        how="fatal",
        moment=moment.id,
        thread=thread.id if thread else None,
        message=message or f"signal {first.stop.signal}",
        stack=first.frames,
        python_stack=list(python_frames(thread.stack)) if thread else [],
        error=error or (thread.error if thread else None) or first.error,
    )
    _add_exception(caught, first.stop, reader)
    return Crash(int(signal.Signals[str(first.stop.signal)]), moment, caught, part)


def _read_threads(
    standing: Sequence[Standing], reader: Reader, read_threads: ReadThreads, moment: Moment
) -> tuple[Report, str | None]:
    """All threads; and why there are only those that gdb told of, if so."""
    try:
        return read_threads(reader(standing[0].stop.pid), moment, standing), None
    except (LastwordsError, ReadError) as error:
        part = new_report("run")
        part.threads += [_make_bare_thread(moment, one) for one in standing]
        return part, str(error)


def _make_bare_thread(moment: Moment, held: Standing) -> Thread:
    stop = held.stop
    return Thread(
        id=f"{moment.id}-thread-{stop.tid}", moment=moment.id, tid=stop.tid, ident=stop.ident,
        is_main=stop.tid == stop.pid, c_stack_gdb=held.frames, error=held.error,
    )  # fmt: skip


def _add_exception(caught: Caught, stop: Stop, reader: Reader) -> None:
    try:
        interpreter = reader(stop.pid)
        tstate = interpreter.find_thread(stop.ident)
        caught.phase = interpreter.phase()
        caught.exception = read_pending_exception(interpreter, tstate) if tstate else None
    except (LastwordsError, ReadError) as error:
        caught.error = caught.error or str(error)


def new_moment(identity: str, process: str, started: float) -> Moment:
    """The moment of a crash, whose reading began at `started` (time.monotonic)."""
    capture = Capture(method="gdb and process_vm_readv", pause_ms=round((time.monotonic() - started) * 1000, 3))
    return Moment(id=identity, process=process, reason="fatal", capture=capture)


def deadly(crashes: dict[int, Crash], pid: int, ended: Exit | None) -> Iterator[Crash]:
    """The crash of `pid` if that is what it died of; it waits no longer in any case."""
    crash = crashes.pop(pid, None)
    if crash is not None and ended is not None and ended.signal == crash.number:
        yield crash
