"""Every thread of a process that has met a fatal signal, read before the signal reaches it.

Whether the process dies of it is seen later: faulthandler, a sandbox or a JIT may handle it. So a crash waits here,
and is reported only when the process has ended by that very signal.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lastwords.capture.gdb import GdbSession
from lastwords.cpython import Interpreter, ReadError, read_pending_exception, read_stack
from lastwords.errors import LastwordsError
from lastwords.model import Capture, Caught, Exit, Frame, Moment, Thread
from lastwords.watch.stops import Stop, stop_from_event

STOP_SECONDS = 2.0
Reader = Callable[[int], Interpreter]


@dataclass
class Crash:
    """What was read of a process when the signal came."""

    number: int
    moment: Moment
    caught: Caught
    threads: list[Thread]


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


def read_crash(session: GdbSession, halted: Halted, reader: Reader, moment: Moment, message: str | None) -> Crash:
    """The C and Python stacks of all threads that stand still, the one with the signal first."""
    first = halted.stops[0]
    if halted.missing:
        moment.capture.problems.append(f"{halted.missing} threads did not stop within {STOP_SECONDS:.0f} s")
        moment.capture.complete = False
    threads = [_read_thread(session, stop, reader, moment) for stop in halted.stops]
    caught = Caught(
        id=f"{moment.id}-exception",
        process=moment.process,
        how="fatal",
        moment=moment.id,
        thread=threads[0].id,
        message=message or f"signal {first.signal}",
        stack=threads[0].c_stack_gdb or [],
        python_stack=threads[0].stack,
        error=threads[0].error,
    )
    _add_exception(caught, first, reader)
    return Crash(int(signal.Signals[str(first.signal)]), moment, caught, threads)


def _read_thread(session: GdbSession, stop: Stop, reader: Reader, moment: Moment) -> Thread:
    thread = Thread(id=f"{moment.id}-thread-{stop.tid}", moment=moment.id, tid=stop.tid, ident=stop.ident)
    thread.is_main = stop.tid == stop.pid
    thread.c_stack_gdb, thread.error = read_c_stack(session, stop.tid)
    try:
        interpreter = reader(stop.pid)
        tstate = interpreter.find_thread(stop.ident)
        if tstate is None:
            thread.state = "no Python thread"
        else:
            stack = read_stack(interpreter, tstate)
            thread.stack, thread.error = stack.frames, stack.error or thread.error
    except (LastwordsError, ReadError) as error:
        thread.error = str(error)
    return thread


def _add_exception(caught: Caught, stop: Stop, reader: Reader) -> None:
    try:
        interpreter = reader(stop.pid)
        tstate = interpreter.find_thread(stop.ident)
        caught.phase = interpreter.phase()
        caught.exception = read_pending_exception(interpreter, tstate) if tstate else None
    except (LastwordsError, ReadError) as error:
        caught.error = caught.error or str(error)


def read_c_stack(session: GdbSession, tid: int) -> tuple[list[Frame], str | None]:
    """gdb's frames of a stopped thread, innermost first, and why they end early if they do."""
    answer = session.order("stack", tid=tid)
    frames = [Frame(kind="native", **frame) for frame in answer.get("frames", [])]
    return frames, answer.get("error") or answer.get("problem")


def new_moment(identity: str, process: str, started: float) -> Moment:
    """The moment of a crash, whose reading began at `started` (time.monotonic)."""
    capture = Capture(method="gdb and process_vm_readv", pause_ms=round((time.monotonic() - started) * 1000, 3))
    return Moment(id=identity, process=process, reason="fatal", capture=capture)


def deadly(crashes: dict[int, Crash], pid: int, ended: Exit | None) -> Iterator[Crash]:
    """The crash of `pid` if that is what it died of; it waits no longer in any case."""
    crash = crashes.pop(pid, None)
    if crash is not None and ended is not None and ended.signal == crash.number:
        yield crash
