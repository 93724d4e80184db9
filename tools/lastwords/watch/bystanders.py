"""Every thread of a process of which gdb holds one, or all: what each does, waits for and holds, and its C stack.

One that is held alone holds the GIL, so that none of the others moves in Python. Their C stacks are unwound from where
they entered the kernel, those of threads that gdb holds from their registers; gdb's own is kept beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from lastwords.capture import elf, procfs
from lastwords.capture.architectures import Registers, this_machine
from lastwords.capture.captured import Captured, KernelThread
from lastwords.capture.gdb import GdbSession
from lastwords.capture.kernel.facts import read_facts
from lastwords.capture.memory import Memory
from lastwords.capture.procfs import Mapping
from lastwords.capture.stop.kernel_threads import find_still, read_kernel_threads, read_steps
from lastwords.cpython import Interpreter
from lastwords.examine.describe import new_report
from lastwords.examine.greenlet_search import search_process
from lastwords.examine.read import Options, Source, add_threads
from lastwords.examine.stacks import add_native_stacks, open_stacks
from lastwords.model import Frame, Moment, Process, Report, Thread
from lastwords.native.unwind import Unwinder
from lastwords.watch.stops import Stop


class Standing(msgspec.Struct, frozen=True):
    """A thread that gdb holds: the registers to unwind it from, and gdb's own frames; `error`: why these end early."""

    stop: Stop
    registers: Registers
    frames: list[Frame]
    error: str | None


def read_standing(session: GdbSession, stop: Stop) -> Standing:
    """Ask gdb for the C stack of a thread that it holds. Raises GdbEnded."""
    answer = session.order("stack", tid=stop.tid)
    frames = [Frame(kind="native", **frame) for frame in answer.get("frames", [])]
    return Standing(stop, answer.get("registers", {}), frames, answer.get("error") or answer.get("problem"))


class Unwinders:
    """One for each process, for as long as it has the same code mapped: its files' tables and names are read once."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Memory, list[Mapping], Unwinder]] = {}

    def find(self, source: Source) -> Unwinder:
        """What unwinds the threads of a live process."""
        captured = source.captured
        code = [one for one in captured.maps if one.path and "x" in one.permissions]
        kept = self._kept.get(captured.pid or 0)
        if kept is None or kept[0] is not captured.memory or kept[1] != code:
            kept = self._kept[captured.pid or 0] = (captured.memory, code, open_stacks(source))
        return kept[2]

    def forget(self, pid: int) -> None:
        """It runs another program now, or none."""
        self._kept.pop(pid, None)


def read_all_threads(  # noqa: PLR0913 (one for each of what is read)
    process: Process,
    moment: Moment,
    interp: Interpreter,
    standing: Sequence[Standing],
    unwinders: Unwinders,
    *,
    greenlets: bool = False,
) -> Report:
    """All of the process's threads, those that gdb holds first, with what they wait for and hold: a part of a report.

    The others are not stopped. Whether one ran meanwhile, the kernel's counts tell: then it is marked. With
    `greenlets`, these are searched for, too.
    """
    part, pid = new_report("run"), standing[0].stop.pid
    part.processes.append(process)
    held = {one.stop.tid: one for one in standing}
    try:
        before = read_steps(pid, procfs.read_tasks(pid))
        threads = read_kernel_threads(pid, memory=interp.cache)
        threads = [_mark(one, held.get(one.tid), one.tid in before) for one in threads]
        source = _open_source(interp, moment, threads, greenlets=greenlets)
        add_native_stacks(part, moment, source, add_threads(part, moment, source, Options()), unwinders.find(source))
        ran = set(before) - find_still(before, read_steps(pid, before)) - set(held)
    except (procfs.ProcessGoneError, OSError) as error:
        moment.capture.problems.append(f"the threads of process {pid}: {error}")
        return part
    for thread in part.threads:
        _complete(thread, held.get(thread.tid or 0), has_run=thread.tid in ran)
    part.threads.sort(key=lambda one: list(held).index(one.tid) if one.tid in held else len(held))
    return part


def _mark(thread: KernelThread, held: Standing | None, is_waiting: bool) -> KernelThread:
    """The ident of one that gdb holds is in a register; those that wait in the kernel are taken to stand still."""
    if held is None:
        return replace(thread, stood_still=is_waiting)
    return replace(thread, ident=held.stop.ident, registers=held.registers, stood_still=True)


def _open_source(interp: Interpreter, moment: Moment, threads: Sequence[KernelThread], *, greenlets: bool) -> Source:
    assert interp.pid is not None
    maps = procfs.read_maps(interp.pid)
    captured = Captured(interp.pid, interp.cache, maps, threads, this_machine(), moment.capture.method)
    find = partial(elf.find_image_at, interp.pid, maps)
    search = search_process(interp, interp.cache.memory, maps, find) if greenlets else None
    return Source(interp, captured, read_facts(interp.pid), search)


def _complete(thread: Thread, held: Standing | None, *, has_run: bool) -> None:
    if held is not None:
        thread.c_stack_gdb = held.frames
    if has_run:
        thread.consistent = False
