"""The C stacks of a moment's threads, merged with their Python frames. Read from the copy: the process runs again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.captured import KernelThread
from lastwords.capture.memory import ReadError
from lastwords.capture.procfs import PROC
from lastwords.cpython import Interpreter
from lastwords.cpython.threads import PythonThread
from lastwords.examine.read import Source
from lastwords.model import Frame, Greenlet, Moment, Report, Thread
from lastwords.native.images import list_images
from lastwords.native.merge import LOOP, OLD_LOOP, Run, merge, to_frame
from lastwords.native.plumbing import find_plumbing
from lastwords.native.segments import Segment, read_segments
from lastwords.native.unwind import NativeStack, Unwinder, open_unwinder

if TYPE_CHECKING:
    from lastwords.capture.core.files import MappedFiles

NOT_HELD = "it was left in its system call, so that only a part of its C stack can be told"


def add_native_stacks(
    report: Report, moment: Moment, source: Source, threads: Sequence[PythonThread], unwinder: Unwinder
) -> None:
    """Adds C frames to the stacks of the moment's threads, in the order in which they were added to the report."""
    own = [thread for thread in report.threads if thread.moment == moment.id]
    stops = _find_stops(report, source)
    stacks = _Stacks(source, unwinder, stops, is_shared=_has_greenlets(report, moment, source))
    pythons = [thread for thread in own if thread.interpreter is not None]
    for thread, found in zip(pythons, threads, strict=True):
        stacks.add(thread, found.kernel, read_segments(source.interp, found.tstate))
    for thread in own:
        if thread.interpreter is None and thread.tid is not None:
            stacks.add(thread, source.captured.thread(thread.tid), [])


def open_stacks(source: Source, files: MappedFiles | None = None, proc: Path = PROC) -> Unwinder:
    """What unwinds the threads of a moment. `files` are those of its core."""
    captured = source.captured
    return open_unwinder(captured.memory, list_images(captured, files, proc), captured.architecture)


def _has_greenlets(report: Report, moment: Moment, source: Source) -> bool:
    process = next(one for one in report.processes if one.id == moment.process)
    is_mapped = any("greenlet" in one.path.rpartition("/")[2] for one in source.captured.maps)
    return is_mapped or "greenlet" in process.libraries or "greenlet" in process.modules


def _find_stops(report: Report, source: Source) -> dict[str, int]:
    """For each thread that runs a greenlet other than its main one, where on the C stack that one begins."""
    if source.greenlets is None:
        return {}
    running = {one.id: one.address for one in report.greenlets if one.state == "running" and not one.is_main}
    stops: dict[str, int] = {}
    if not running:
        return stops
    from lastwords.greenlets.greenlet import read_greenlet  # noqa: PLC0415 (start-up time: few processes have them)
    from lastwords.greenlets.module import find_module  # noqa: PLC0415

    with suppress(ReadError):
        module = find_module(source.interp, source.greenlets.find_image)
        for thread in report.threads:
            address = running.get(thread.greenlet or "")
            if module is not None and address:
                stops[thread.id] = read_greenlet(module, address).stack.stop
    return stops


class _Stacks(msgspec.Struct):
    """What all stacks of a moment are made with."""

    source: Source
    unwinder: Unwinder
    stops: dict[str, int]
    is_shared: bool

    def add(self, thread: Thread, kernel: KernelThread | None, segments: Sequence[Segment]) -> None:
        """Makes a thread's stack one of C and Python frames."""
        registers = find_registers(kernel, self.source.captured.architecture) if kernel else {}
        if not registers:  # it runs, and was not stopped
            return
        stop = self.stops.get(thread.id)
        native = self.unwinder.unwind(registers, stop=stop)
        if native.error and kernel is not None and not kernel.registers:
            native.error = f"{NOT_HELD}: {native.error}"
        add_merged(thread, native, segments, self.source.interp, is_shared=self.is_shared and stop is None)


def add_merged(
    owner: Thread | Greenlet,
    native: NativeStack,
    segments: Sequence[Segment],
    interp: Interpreter,
    *,
    is_shared: bool = False,
) -> None:
    """Makes the stack of a thread or greenlet one of C and Python frames; or gives it two, where these do not fit."""
    runs = list(make_runs(segments, owner.stack))
    loop = find_loop(interp)
    merged = merge(native.frames, runs, native.error, loop=loop, is_shared=is_shared)
    if not merged.fits:
        owner.native_stack = [to_frame(frame) for frame in native.frames]
        fold(owner.native_stack, interp)
        proven = without_guesses(native)
        merged = merge(proven.frames, runs, proven.error, loop=loop, is_shared=is_shared)
    owner.stack, owner.error = merged.frames, owner.error or merged.error
    fold(owner.stack, interp)


def find_loop(interp: Interpreter) -> str:
    """The name of the interpreter's loop, by what its file has."""
    symbols = interp.image.elf.symbols
    return OLD_LOOP if OLD_LOOP in symbols and LOOP not in symbols else LOOP


def without_guesses(native: NativeStack) -> NativeStack:
    """The stack up to the first frame that was guessed, if there is one."""
    first = next((at for at, frame in enumerate(native.frames) if frame.guessed), None)
    if not first:
        return native
    return NativeStack(
        native.frames[:first], f"from {native.frames[first].pc:#x} on its C frames are guesses that do not fit"
    )


def find_registers(kernel: KernelThread, architecture: Architecture) -> Registers:
    """All that are known of a thread; where it was not interrupted, these are what /proc/PID/task/TID/syscall tells."""
    if kernel.registers or kernel.sp is None or kernel.pc is None:
        return kernel.registers
    return {architecture.stack_pointer: kernel.sp, architecture.program_counter: kernel.pc}


def make_runs(segments: Sequence[Segment], frames: Sequence[Frame]) -> Iterator[Run]:
    """The segments with their frames; a stack of which not all could be read ends early."""
    rest = iter(frames)
    for segment in segments:
        own = list(islice(rest, len(segment.places)))
        if own:
            yield Run(segment.entry, own)
    left = list(rest)
    if left:  # frames that were read, and are in no segment
        yield Run(None, left)


def fold(frames: Sequence[Frame], interp: Interpreter) -> None:
    """Marks the machinery among the frames of a stack."""
    for frame, is_plumbing in zip(frames, find_plumbing(frames, interp.image.path), strict=True):
        frame.plumbing = is_plumbing
