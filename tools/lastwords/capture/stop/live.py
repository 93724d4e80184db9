"""A live process held still for milliseconds, and what is copied then.

Reading Python's frames takes long, copying bytes does not. So the readers run twice: first while the target runs
(`dry_run`), to learn which pages they need; then on a copy of just these pages, made while the threads stand still.
How they are held, and why the target survives whatever happens to us: stopper.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict, Unpack

import msgspec
from msgspec.structs import replace

from lastwords.capture import procfs
from lastwords.capture.architectures import this_machine
from lastwords.capture.captured import Captured, KernelThread, StackPointer
from lastwords.capture.memory import PAGE, Memory, ProcMemMemory, Range, ReadError, open_process_memory
from lastwords.capture.permission import explain_no_stop
from lastwords.capture.procfs import PROC, ProcessGoneError
from lastwords.capture.stop.copied import CompletingMemory, CopiedMemory, Copy, Pages, RecordingMemory
from lastwords.capture.stop.holding import Holder, NotHeldError, Stopped
from lastwords.capture.stop.kernel_threads import (
    Seen,
    add_vector_registers,
    describe_held,
    find_broken,
    find_stacks,
    find_still,
    look_at,
    read_kernel_threads,
    read_names,
    read_steps,
)
from lastwords.capture.stop.stacks import Stacks
from lastwords.collector import no_collection
from lastwords.errors import TargetError

__all__ = ["Look", "Recheck", "capture_process", "read_kernel_threads"]

Look = Callable[[Memory, Sequence[KernelThread]], object]
Recheck = Callable[[CompletingMemory, Sequence[StackPointer]], object]

HOLD_SECONDS = 1.0  # then the target is let go even if we are not done
RECHECK_SECONDS = 0.25
MAPS_SIZE = 1 << 20  # bytes asked for at once; the kernel gives a page
SAID_LIMIT = 10  # threads of which each has a problem of its own
TRIES = 2  # where a thread ran that was not to be interrupted


class _Prepared(msgspec.Struct, frozen=True):
    """What is made ready before the stop; `recorded`: pages of the dry run; `names` of threads by tid."""

    copy: Copy
    stacks: Stacks
    recorded: Pages
    names: dict[int, str | None]


class _Copied(msgspec.Struct, frozen=True):
    """What was read while threads stood still, and not looked at yet.

    others: threads that were left alone; still: those of them that stood still all the same
    """

    pages: Pages
    maps: str
    stopped: list[Stopped]
    others: list[Seen]
    still: set[int]
    problems: list[str]


class _Moment(msgspec.Struct):
    """What was copied, and of whom; `seconds` is how long threads were held.

    left_alone: how many stayed in their system calls; None where only those were that could have seen an interruption
    """

    pages: Pages
    maps: str
    threads: list[KernelThread]
    stacks: list[Range] = []
    problems: list[str] = []
    seconds: float | None = None
    left_alone: int | None = None


Steps = Generator[None, None, Captured]


class Way(TypedDict, total=False):
    """How a moment is captured: see capture_in_steps."""

    pause: bool
    interrupt: bool
    vectors: bool
    proc: Path


def capture_process(pid: int, dry_run: Look, recheck: Recheck, **way: Unpack[Way]) -> Captured:
    """The memory and the threads of one moment of a live process: `capture_in_steps`, to their end."""
    return finish(capture_in_steps(pid, dry_run, recheck, **way))


def capture_in_steps(  # noqa: PLR0913 (one for each of what is asked)
    pid: int,
    dry_run: Look,
    recheck: Recheck,
    *,
    pause: bool = True,
    interrupt: bool = True,
    vectors: bool = False,
    proc: Path = PROC,
) -> Steps:
    """The memory and the threads of one moment of a live process.

    `dry_run` reads everything that will be wanted, while the target runs. Then the threads are held still, the same
    pages are read again in one go, and `recheck` reads what may have moved; what it needs more is added, until
    RECHECK_SECONDS are over. `Captured.memory` is that copy alone. `pause=False` holds nothing: the pages are those
    of the dry run, and `stood_still` says of each thread whether it is certain that it did not run meanwhile.
    `interrupt=False` leaves every thread alone that is in a system call, and holds only those that run.
    `vectors`: also their floating-point and vector registers, which no reader asks for.

    In two steps, for several processes at nearly one moment: it yields where only what is quick is left. Raises
    ProcessGoneError, PermissionError or ReadError where it cannot be read at all, TargetError where it ended or
    executed another program meanwhile; and what the two raise. In each case the target is let go.
    """
    with _open(pid, proc) as target:
        reason = target.reason_not_to_hold() if pause else None
        if not pause or reason:
            yield
            return target.captured(_read_moving(target, dry_run, reason))
        try:
            with Holder(interrupt=interrupt, vectors=vectors) as holder:
                return target.captured((yield from _read_held(target, holder, dry_run, recheck)))
        except NotHeldError as error:
            yield
            why = explain_no_stop(pid, str(error), proc)
            return target.captured(_read_moving(target, dry_run, f"it could not be stopped: {why}"))


def finish(steps: Steps) -> Captured:
    """What is left of them. Errors as in `capture_process`."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            captured: Captured = end.value
            return captured


class _Target(msgspec.Struct):
    """A process while it is captured. `open_maps` is its /proc/PID/maps, empty once it executes another program.

    (/proc/PID/mem ends there, too, but its mode keeps out a root that has CAP_SYS_PTRACE alone.)
    """

    pid: int
    proc: Path
    memory: Memory
    open_maps: int

    def check(self) -> None:
        """Raises TargetError where its memory is not any more the one that was there when we began."""
        if os.pread(self.open_maps, 1, 0):
            return
        try:
            if procfs.read_status(self.pid, self.proc).state not in "ZX":
                fact = f"Process {self.pid} began to execute another program while it was read."
                raise TargetError(fact, f"lastwords attach {self.pid}    # that one")
        except ProcessGoneError:
            pass
        raise TargetError(f"Process {self.pid} ended while it was read.", "lastwords ps")

    def read_maps(self) -> str:
        """Its /proc/PID/maps as it is now."""
        parts: list[bytes] = []
        while part := os.pread(self.open_maps, MAPS_SIZE, sum(map(len, parts))):
            parts.append(part)
        return os.fsdecode(b"".join(parts))

    def reason_not_to_hold(self) -> str | None:
        """Why it must not be stopped; None: it may be."""
        tracer = procfs.read_status(self.pid, self.proc).tracer_pid
        if tracer:
            return f"it was not stopped, because process {tracer} traces it already"
        return "it was not stopped, because it is this process itself" if self.pid == os.getpid() else None

    def steps(self, tids: Sequence[int]) -> dict[int, tuple[int, procfs.TaskCall]]:
        """See read_steps."""
        return read_steps(self.pid, tids, self.proc)

    def captured(self, moment: _Moment) -> Captured:
        """The moment as others see it."""
        self.check()
        way = "/proc/PID/mem" if isinstance(self.memory, ProcMemMemory) else "process_vm_readv"
        held = _describe_stop(moment)
        if moment.left_alone is not None:
            held += f", {moment.left_alone} of {len(moment.threads)} threads left in their system calls"
        maps = procfs.parse_maps(moment.maps)
        return Captured(
            pid=self.pid,
            memory=CopiedMemory(moment.pages, [(one.start, one.end - one.start) for one in maps]),
            maps=maps,
            threads=moment.threads,
            architecture=this_machine(),
            method=f"{held}, {way}",
            pause_ms=None if moment.seconds is None else moment.seconds * 1000,
            size=sum(len(page) for page in moment.pages.values() if page),
            problems=moment.problems,
            is_live=True,
            auxv=self._read_auxv(),
            stacks=moment.stacks,
        )

    def _read_auxv(self) -> bytes:
        """Nothing where its mode keeps us out: another user's, and root here has CAP_SYS_PTRACE alone."""
        try:
            return procfs.read_auxv(self.pid, self.proc)
        except PermissionError:
            return b""


@contextmanager
def _open(pid: int, proc: Path) -> Iterator[_Target]:
    """The process, while it can be read. Raises ProcessGoneError, PermissionError, ReadError."""
    maps = procfs.read_maps(pid, proc)
    first = next((one.start for one in maps if one.permissions.startswith("r")), 0)
    if not first:
        raise ReadError(f"process {pid} has no memory", "unreadable")
    try:
        open_maps = os.open(proc / str(pid) / "maps", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessGoneError(pid) from None
    try:
        yield _Target(pid, proc, open_process_memory(pid, first), open_maps)
    finally:
        os.close(open_maps)


def _read_moving(target: _Target, dry_run: Look, reason: str | None) -> _Moment:
    """What the dry run reads while nobody is held."""
    tids = procfs.read_tasks(target.pid, target.proc)
    steps = target.steps(tids)
    threads = read_kernel_threads(target.pid, target.proc, target.memory)
    recording = RecordingMemory(target.memory)
    dry_run(recording, threads)
    recording.fetch([one for one in recording.pages_along if one not in recording.pages])
    maps = procfs.read_text(target.pid, "maps", target.proc)
    stacks = Stacks(procfs.parse_maps(maps), threads, target.memory)
    stacks.read(target.memory, threads, lambda: maps, recording.pages)
    threads = _mark_still(threads, find_still(steps, target.steps(tids)))
    stacks.add_to(recording.pages)
    problems = [*([reason] if reason else []), *stacks.problems]
    ran = sum(not one.stood_still for one in threads)
    if ran:
        problems.append(f"{ran} of {len(threads)} threads may have run while they were read")
    return _Moment(recording.pages, maps, threads, stacks.ranges, problems + _describe_overflow(recording))


def _read_held(target: _Target, holder: Holder, dry_run: Look, recheck: Recheck) -> Generator[None, None, _Moment]:
    """What is read while threads are held; yields before they are. Raises NotHeldError."""
    threads = read_kernel_threads(target.pid, target.proc, target.memory)
    recording = RecordingMemory(target.memory)
    dry_run(recording, threads)
    prepared = _prepare(target, threads, recording)
    holder.wait_until_ready()
    yield
    with no_collection():
        for _ in range(TRIES):
            copied = _copy(target, holder, prepared, recheck)
            if all(one.tid in copied.still for one in copied.others):
                break
        gone = holder.let_go()
    moment = _describe(target, copied, prepared)
    moment.seconds = gone.seconds
    moment.left_alone = None if holder.interrupt else sum(not one.registers for one in moment.threads)
    moment.threads = add_vector_registers(moment.threads, gone.vectors)
    moment.problems += _describe_overflow(recording) + _describe_interrupted(moment.threads)
    if gone.in_time:
        moment.problems += _describe_runners(moment.threads)
    else:
        moment.threads = [replace(one, stood_still=False) for one in moment.threads]
        moment.problems.append("it was let go before everything was read: parts may not fit together")
    return moment


def _prepare(target: _Target, threads: Sequence[KernelThread], recording: RecordingMemory) -> _Prepared:
    """Where the threads stand, most of them still will."""
    stacks = Stacks(procfs.read_maps(target.pid, target.proc), threads, target.memory)
    copy = Copy(recording.pages, target.memory, stacks.expect(threads) | recording.pages_along)
    return _Prepared(copy, stacks, recording.pages, {one.tid: one.name for one in threads})


def _copy(target: _Target, holder: Holder, prepared: _Prepared, recheck: Recheck) -> _Copied:
    """The pages as they are now, and what `recheck` reads more."""
    alone = holder.hold(target.pid, this_machine(), HOLD_SECONDS)
    target.check()
    steps = target.steps(alone)
    prepared.copy.read()
    maps = target.read_maps()
    others = look_at(target.pid, alone, target.proc)
    stopped = holder.stopped()
    places = find_stacks(stopped, others)
    prepared.stacks.read(target.memory, places, lambda: maps, prepared.copy.pages)
    unnamed = [one.tid for one in stopped if one.tid not in prepared.names]
    prepared.names.update(read_names(target.pid, unnamed, target.proc))
    completing = CompletingMemory(
        prepared.copy.pages, target.memory, time.monotonic() + RECHECK_SECONDS, prepared.recorded
    )
    problems = []
    try:
        recheck(completing, places)
    except ReadError as error:
        problems.append(f"what moved since the dry run was not read to its end: {error}")
    if completing.is_late:
        problems.append(f"what moved since the dry run took more than {RECHECK_SECONDS:g} s, and was left")
    still = find_still(steps, target.steps(alone))
    return _Copied(prepared.copy.pages, maps, stopped, others, still, problems)


def _describe(target: _Target, copied: _Copied, prepared: _Prepared) -> _Moment:
    """What there is time for once they run again."""
    pages, stacks = copied.pages, prepared.stacks
    threads = _mark_still(describe_held(copied.stopped, copied.others, prepared.names, target.memory), copied.still)
    stacks.add_to(pages)
    for number in prepared.recorded:  # what was not there in the dry run either, and was not asked for again
        pages.setdefault(number, None)
    return _Moment(pages, copied.maps, threads, stacks.ranges, copied.problems + stacks.problems)


def _describe_stop(moment: _Moment) -> str:
    """For how long, if any thread was: those in calls that would tell their program are left alone."""
    if moment.seconds is None:
        return "not stopped"
    is_any = any(one.registers for one in moment.threads)
    return f"stopped for {moment.seconds * 1000:.1f} ms" if is_any else "no thread was stopped"


def _mark_still(threads: Sequence[KernelThread], still: set[int]) -> list[KernelThread]:
    return [one if one.stood_still else replace(one, stood_still=one.tid in still) for one in threads]


def _describe_overflow(recording: RecordingMemory) -> list[str]:
    if not recording.overflow:
        return []
    return [f"{recording.overflow} pages of {PAGE} bytes were not captured: {len(recording.pages)} are the limit"]


def _describe_runners(threads: Sequence[KernelThread]) -> list[str]:
    """Threads that were not to be interrupted, and that ran."""
    ran = [one for one in threads if not one.stood_still]
    said = [
        f"thread {one.tid} may have run while it was read: it was {_where(one)}, and was not interrupted"
        for one in ran[:SAID_LIMIT]
    ]
    more = len(ran) - len(said)
    return [*said, f"{more} more threads may have run while they were read"] if more else said


def _describe_interrupted(threads: Sequence[KernelThread]) -> list[str]:
    return [
        f"thread {one.tid} was interrupted {_where(one)}, which returns EINTR to the program"
        for one in find_broken(threads)
    ]


def _where(thread: KernelThread) -> str:
    return f"in {thread.syscall.name}" if thread.syscall else "in no call"
