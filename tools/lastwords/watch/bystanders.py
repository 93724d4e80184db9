"""What the other threads were doing when one of them stopped: it holds the GIL, so none of them moves in Python."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from lastwords.capture import procfs
from lastwords.capture.architectures import this_machine
from lastwords.capture.captured import Captured, KernelThread
from lastwords.capture.kernel.facts import read_facts
from lastwords.capture.stop.kernel_threads import find_still, read_kernel_threads, read_steps
from lastwords.cpython import Interpreter
from lastwords.examine.read import Options, Source, add_threads
from lastwords.model import Moment, Report, Thread
from lastwords.watch.stops import Stop


def add_all_threads(report: Report, moment: Moment, interp: Interpreter, stop: Stop) -> None:
    """Every thread of the process in which `stop` stands still, with what it waits for and holds.

    The others are not stopped. Whether one ran meanwhile, the kernel's counts tell: then it is marked.
    """
    try:
        before = read_steps(stop.pid, procfs.read_tasks(stop.pid))
        threads = read_kernel_threads(stop.pid, memory=interp.cache)
        _add(report, moment, interp, stop, _mark(threads, stop, set(before)))
        ran = set(before) - find_still(before, read_steps(stop.pid, before))
    except (procfs.ProcessGoneError, OSError) as error:
        moment.capture.problems.append(f"the threads of process {stop.pid}: {error}")
        return
    for thread in report.threads:
        if thread.moment == moment.id and thread.tid in ran and thread.tid != stop.tid:
            thread.consistent = False


def _mark(threads: Sequence[KernelThread], stop: Stop, waiting: set[int]) -> list[KernelThread]:
    """The one that stopped has its ident in a register; those that wait in the kernel are taken to stand still."""
    marked = [replace(one, stood_still=one.tid in waiting) for one in threads]
    return [replace(one, ident=stop.ident, stood_still=True) if one.tid == stop.tid else one for one in marked]


def _add(report: Report, moment: Moment, interp: Interpreter, stop: Stop, threads: Sequence[KernelThread]) -> None:
    maps = procfs.read_maps(stop.pid)
    captured = Captured(stop.pid, interp.cache, maps, threads, this_machine(), moment.capture.method)
    add_threads(report, moment, Source(interp, captured, read_facts(stop.pid)), Options())


def is_of(thread: Thread, moment: Moment, stop: Stop) -> bool:
    """Whether it is the thread that stopped, at this moment."""
    return (thread.moment, thread.tid) == (moment.id, stop.tid)
