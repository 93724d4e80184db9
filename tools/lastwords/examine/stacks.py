"""The C stacks of a moment's threads, merged with their Python frames. Read from the copy: the process runs again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.captured import KernelThread
from lastwords.cpython import Interpreter
from lastwords.cpython.threads import PythonThread
from lastwords.examine.read import Source
from lastwords.model import Frame, Moment, Report, Thread
from lastwords.native.merge import Run, merge, to_frame
from lastwords.native.plumbing import find_plumbing
from lastwords.native.segments import Segment, read_segments
from lastwords.native.unwind import Unwinder


def add_native_stacks(
    report: Report, moment: Moment, source: Source, threads: Sequence[PythonThread], unwinder: Unwinder
) -> None:
    """Adds C frames to the stacks of the moment's threads, in the order in which they were added to the report."""
    own = [thread for thread in report.threads if thread.moment == moment.id]
    process = next(one for one in report.processes if one.id == moment.process)
    has_greenlets = "greenlet" in process.libraries or "greenlet" in process.modules
    pythons = [thread for thread in own if thread.interpreter is not None]
    for thread, found in zip(pythons, threads, strict=True):
        if found.kernel is not None:
            segments = read_segments(source.interp, found.tstate)
            _add_stack(thread, found.kernel, source, segments, unwinder, is_shared=has_greenlets)
    for thread in own:
        kernel = source.captured.thread(thread.tid) if thread.interpreter is None and thread.tid else None
        if kernel is not None:
            _add_stack(thread, kernel, source, [], unwinder, is_shared=False)


def _add_stack(
    thread: Thread,
    kernel: KernelThread,
    source: Source,
    segments: Sequence[Segment],
    unwinder: Unwinder,
    *,
    is_shared: bool,
) -> None:
    registers = find_registers(kernel, source.captured.architecture)
    if not registers:  # it runs, and was not stopped
        return
    native = unwinder.unwind(registers)
    merged = merge(native.frames, list(_make_runs(segments, thread.stack)), native.error, is_shared=is_shared)
    if merged.fits:
        thread.stack = merged.frames
        fold(thread.stack, source.interp)
    else:
        thread.native_stack = [to_frame(frame) for frame in native.frames]
        fold(thread.native_stack, source.interp)
    thread.error = thread.error or merged.error


def find_registers(kernel: KernelThread, architecture: Architecture) -> Registers:
    """All that are known of a thread; where it was not interrupted, these are what /proc/PID/task/TID/syscall tells."""
    if kernel.registers or kernel.sp is None or kernel.pc is None:
        return kernel.registers
    return {architecture.stack_pointer: kernel.sp, architecture.program_counter: kernel.pc}


def _make_runs(segments: Sequence[Segment], frames: Sequence[Frame]) -> Iterator[Run]:
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
