"""`samples[]`: five cheap looks in 250 ms at threads that ran when the process stood still, while it runs on.

One that rests when it is looked at is not looked at again: most threads of a server that ran do so a moment later.

Beside the stacks, each look tells which locks the innermost function tries to take, and whether they are taken: a
thread that tries again and again runs, and gets nowhere. A look that comes to nothing because the thread ran on is
left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from lastwords.capture.architectures import RESTART_CALL, this_machine
from lastwords.capture.memory import ReadError
from lastwords.capture.procfs import PROC, read_task_call
from lastwords.cpython import Interpreter
from lastwords.cpython.code import read_frame
from lastwords.cpython.frame import Place, read_frames, read_places
from lastwords.cpython.holding.expressions import evaluate
from lastwords.cpython.holding.lock_calls import TAKING, LockCall, find_lock_calls
from lastwords.cpython.locks import LockState, read_lock
from lastwords.cpython.threads import PythonThread
from lastwords.model import Edge, Object, Report, Sample, Thread

LOOKS = 5
GLIMPSES, BETWEEN = 20, 0.0025  # of the innermost frame, in each look; seconds
FRAMES_LIMIT = 30
THREADS_LIMIT = 8
KINDS = ("lock", "rlock")
FOR_LOCKS = ("futex", "futex_waitv", RESTART_CALL)  # the system calls of who waits for the GIL or a lock


class Trial(msgspec.Struct):
    """What was seen of one lock: `tries` how often the thread stood in the call that takes it; where that is.

    looks: the numbers of those in which a function that takes it was the innermost
    """

    lock: LockState
    call: LockCall
    code: int
    looks: set[int] = msgspec.field(default_factory=set)
    tries: int = 0
    was_free: bool = False


class Watched(msgspec.Struct):
    """A thread that ran, and what was seen of the locks that it tries to take, by their addresses."""

    thread: Thread
    python: PythonThread
    trials: dict[int, Trial] = {}


def add_samples(
    report: Report, interp: Interpreter, found: Sequence[PythonThread], pid: int, proc: Path = PROC
) -> None:
    """Look at the threads of the report that ran. `interp` reads the process as it is now, without a cache."""
    running = list(islice(_find_running(report, found), THREADS_LIMIT))
    for number in range(LOOKS * GLIMPSES):
        look, glimpse = divmod(number, GLIMPSES)
        for one in running if glimpse == 0 else ():
            with suppress(ReadError):  # it ran on
                report.samples.append(_look(interp, one, pid, proc))
        running = [one for one in running if one.trials or not _rests(interp, one.python, pid, proc)]
        if not running:
            break
        time.sleep(BETWEEN)
        for one in running:
            with suppress(ReadError):
                _glimpse(interp, one, look)
    for one in running:
        for trial in one.trials.values():
            if trial.tries and len(trial.looks) > 1 and not trial.was_free:
                _add_trial(report, interp, one.thread, trial)


def _find_running(report: Report, found: Sequence[PythonThread]) -> Iterator[Watched]:
    by_tid = {one.tid: one for one in found}
    for thread in report.threads:
        one = by_tid.get(thread.tid) if thread.tid is not None else None
        is_python = one is not None and thread.interpreter is not None and bool(thread.stack)
        if one is not None and is_python and thread.waits_for is None and thread.finishing is not True:
            yield Watched(thread, one)


def _rests(interp: Interpreter, one: PythonThread, pid: int, proc: Path) -> bool:
    """Whether it waits by now, for neither the GIL nor a lock, and no function on its stack tries to take one."""
    try:
        call = read_task_call(pid, one.tid, proc) if one.tid is not None else None
        name = this_machine().syscalls.get(call.number) if call and call.number is not None else None
        if name is None or name in FOR_LOCKS:
            return False
        return not any(_find_tries(interp, place) for place in islice(read_places(interp, one.tstate), FRAMES_LIMIT))
    except (OSError, ReadError):
        return False


def _look(interp: Interpreter, one: Watched, pid: int, proc: Path) -> Sample:
    stack = read_frames(interp, islice(read_places(interp, one.python.tstate), FRAMES_LIMIT))
    cpu = _read_cpu(pid, one.python, proc)
    return Sample(moment=one.thread.moment, thread=one.thread.id, stack=stack.frames, cpu_ms=cpu)


def _read_cpu(pid: int, one: PythonThread, proc: Path) -> float | None:
    """Milliseconds for which the thread has run, by /proc/PID/task/TID/schedstat."""
    try:
        return int((proc / f"{pid}/task/{one.tid}/schedstat").read_text().split()[0]) / 1e6
    except (OSError, ValueError, IndexError):
        return None


def _glimpse(interp: Interpreter, one: Watched, look: int) -> None:
    """Notes what is seen of the locks that the innermost function takes by a call."""
    place = next(read_places(interp, one.python.tstate), None)
    for call in _find_tries(interp, place) if place is not None else ():
        lock = _find_lock(interp, place, call) if place is not None else None
        if lock is not None and place is not None:
            trial = one.trials.setdefault(lock.address, Trial(lock, call, place.code))
            trial.was_free |= not lock.locked
            trial.tries += call.start <= place.lasti <= call.end
            trial.looks.add(look)


def _find_tries(interp: Interpreter, place: Place) -> list[LockCall]:
    return [call for call in find_lock_calls(interp, place.code) if call.method in TAKING and call.receiver]


def _find_lock(interp: Interpreter, place: Place, call: LockCall) -> LockState | None:
    address = evaluate(interp, place, call.receiver) if call.receiver else None
    lock = read_lock(interp, address) if address else None
    return lock if lock is not None and lock.kind in KINDS else None


def _add_trial(report: Report, interp: Interpreter, thread: Thread, trial: Trial) -> None:
    lock = next((one for one in report.objects if _is_at(one, thread.moment, trial.lock.address)), None)
    if lock is None:
        lock = Object(
            id=f"{thread.moment}-object-{trial.lock.address:x}",
            moment=thread.moment,
            kind=trial.lock.kind,
            type=trial.lock.type,
            name=str(trial.call.receiver),
            address=trial.lock.address,
            locked=trial.lock.locked,
        )
        report.objects.append(lock)
    said = f"tries to take it; it was taken in each of {len(trial.looks)} looks"
    edge = Edge(origin=thread.id, to=lock.id, kind="references", certainty="likely", evidence=said)
    try:
        edge.at = read_frame(interp, trial.code, trial.call.end)
    except ReadError:
        edge.at = None
    report.edges.append(edge)


def _is_at(one: Object, moment: str, address: int) -> bool:
    return one.moment == moment and one.address == address and one.kind in KINDS
