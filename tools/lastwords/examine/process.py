"""`attach`: one moment of a live process, stopped for milliseconds, or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lastwords.capture import elf, procfs
from lastwords.capture.architectures import this_machine
from lastwords.capture.captured import Captured, KernelThread
from lastwords.capture.elf import Image
from lastwords.capture.kernel.facts import read_facts
from lastwords.capture.kernel.peers import OpenFiles
from lastwords.capture.kernel.scheduler import Slept, carry_over, find_undisturbed, read_slept
from lastwords.capture.machine.tried import try_files
from lastwords.capture.memory import CachedMemory, Memory, ReadError, UncachedMemory, open_process_memory
from lastwords.capture.stop.copied import CompletingMemory, CopiedMemory, PagedMemory, Parts, RecordingMemory
from lastwords.capture.stop.live import Steps, capture_in_steps, finish
from lastwords.capture.stop.shared import SharedMemory
from lastwords.cpython import Interpreter
from lastwords.cpython.interpreter import find_image, open_image
from lastwords.cpython.refusals import explain_end, explain_gone, explain_refusal
from lastwords.cpython.threads import PythonThread
from lastwords.errors import TargetError
from lastwords.examine.describe import describe_process, new_moment, new_report
from lastwords.examine.gil_kept import watched_gil
from lastwords.examine.halts import add_halt
from lastwords.examine.read import Options, Source, has_greenlet, read_moment
from lastwords.examine.recheck import Recheck, noting
from lastwords.examine.samples import add_samples
from lastwords.examine.signals import add_signals
from lastwords.examine.stacks import add_native_stacks, open_stacks
from lastwords.model import Report
from lastwords.native.segments import read_segments
from lastwords.native.unwind import Unwinder

if TYPE_CHECKING:  # few processes have greenlets, and loading what reads them takes 5 ms
    from lastwords.examine.greenlet_search import GreenletSearch


def attach_process(pid: int, options: Options, *, pause: bool = True, proc: Path = procfs.PROC) -> Report:
    """One moment of the process. Raises TargetError and SetupError."""
    with explained(pid, proc):
        return Attached(procfs.find_way_in(pid, proc), options, proc).capture(pause)


def check_process(pid: int, proc: Path = procfs.PROC) -> None:
    """Raises TargetError or SetupError where it is none that can be read; nothing of Python is read, nor stopped."""
    with explained(pid, proc):
        way = procfs.find_way_in(pid, proc)
        find_image(way, procfs.read_maps(way, proc), proc, open_process_memory(way))


@contextmanager
def explained(pid: int, proc: Path) -> Iterator[None]:
    """Whatever keeps the process from being read becomes an error that says why: TargetError or SetupError."""
    try:
        yield
    except procfs.ProcessGoneError:
        raise (explain_end(pid, proc) if (proc / str(pid)).exists() else None) or explain_gone(pid) from None
    except (PermissionError, ReadError) as error:
        raise explain_refusal(pid, error, proc) from error
    except TargetError as error:  # what is read of one that has just ended looks like anything
        raise explain_end(pid, proc) or error from error


TRIES = 3  # at least, and for so many seconds
TRYING_SECONDS = 1.0


class Attached:
    """A process that is read twice: once while it runs, to learn which pages that takes, and then from their copy.

    pid: by which it is shown (procfs.find_way_in); leader: its own
    `number` tells its moment from those of the report's other processes; `open_files` is what they share.
    keeps_vectors: whether registers are read too that no reader asks for
    """

    keeps_vectors = False

    def __init__(
        self, pid: int, options: Options, proc: Path, number: int = 1, open_files: OpenFiles | None = None
    ) -> None:
        self.pid, self.options, self.proc = pid, options, proc
        self.leader = procfs.read_status(pid, proc).leader
        self.number, self.open_files = number, open_files
        self.began = self.ended = 0.0
        self.maps = procfs.read_maps(pid, proc)
        self.image: Image = find_image(pid, self.maps, proc, open_process_memory(pid))
        self._moved: Recheck | None = None
        self._of_greenlets: Parts = {}  # what tells which of them have switched
        self._before: dict[int, Slept] = {}
        self._missed: set[int] = set()  # pages that an earlier try has lacked
        self._greenlets: GreenletSearch | None = None
        self._looked_at: GreenletSearch | None = None  # those of them that the dry run reads
        self._may_choose = not options.locals  # them by example

    def steps(self, pause: bool) -> Steps:
        """See capture_in_steps."""
        self._before = carry_over(self._before, self._slept())
        self._greenlets = self._search()
        interrupt = self.options.interrupt
        return capture_in_steps(
            self.pid, self._dry_run, self._recheck,
            pause=pause, interrupt=interrupt, vectors=self.keeps_vectors, proc=self.proc,
        )  # fmt: skip

    def capture(self, pause: bool) -> Report:
        """The report of one moment."""
        return self.report(self.finish(self.steps(pause)), pause)

    def finish(self, steps: Steps) -> Captured:
        """The rest of these steps, from `began` to `ended` by time.monotonic()."""
        self.began = time.monotonic()
        captured = finish(steps)
        self.ended = time.monotonic()
        return captured

    def report(self, captured: Captured, pause: bool) -> Report:
        """The report of this moment; of a later one, where a process that changes quickly left gaps, or was passing."""
        began = time.monotonic()
        for number in count(1):
            slept = find_undisturbed(self._before, self._slept())
            source = self._source(captured)
            report, threads = self._report(source)
            copied = captured.memory if isinstance(captured.memory, CopiedMemory) else None
            gaps = len(copied.misses) if copied else 0
            is_late = number >= TRIES and time.monotonic() - began > TRYING_SECONDS
            if not (gaps or is_passing(report)) or is_late or (copied and copied.is_full):
                break
            self._missed.update(copied.misses if copied else ())
            self._may_choose &= number < TRIES - 1  # not the last time
            captured = self.finish(self.steps(pause))
        for thread in report.threads:
            thread.idle_s = slept.get(thread.tid or 0)
        add_signals(report.processes[0], report.threads, self.proc)
        add_halt(report.processes[0], report.threads, self.proc)
        if self.options.native:  # of this moment alone, and what that reads is no gap: see capture/stop/stacks.py
            unwinder = open_stacks(source, proc=self.proc)
            add_native_stacks(report, report.moments[0], source, threads, unwinder)
            self._add_greenlet_stacks(source, unwinder)
        now = self._open_now()
        with watched_gil(report, now, threads):
            add_samples(report, now, threads, self.pid, self.proc)
        problems = [f"{gaps} pages that reading asked for were not captured"] if gaps else []
        problems += self._describe_closed()
        report.moments[0].capture.problems += problems
        report.moments[0].capture.complete &= not problems
        return report

    @staticmethod
    def _add_greenlet_stacks(source: Source, unwinder: Unwinder) -> None:
        if source.greenlets is not None:
            from lastwords.examine.greenlet_stacks import add_greenlet_stacks  # noqa: PLC0415

            add_greenlet_stacks(source, unwinder)

    def _describe_closed(self) -> Iterator[str]:
        """Of a container's root without the capability to read other users' files."""
        closed = ", ".join(f"/proc/{self.pid}/{name}" for name in try_files(self.pid, self.proc))
        if closed:
            yield f"{closed} may not be read without CAP_DAC_READ_SEARCH: system calls and descriptors are not told"

    def _source(self, captured: Captured) -> Source:
        facts = read_facts(self.pid, self.proc, self.open_files)
        return Source(self._open(captured.memory), captured, facts, self._greenlets)

    def _search(self) -> GreenletSearch | None:
        """While it runs, and not through the memory that records: what is searched is not needed again."""
        memory = open_process_memory(self.pid, self.image.start)
        interp = self._open(memory)
        if not has_greenlet(interp):
            return None
        from lastwords.examine.greenlet_search import search_process  # noqa: PLC0415 (see above)

        maps = procfs.read_maps(self.pid, self.proc)
        find = partial(elf.find_image_at, self.pid, maps, proc=self.proc)
        return search_process(interp, memory, maps, find, self.proc)

    def _slept(self) -> dict[int, Slept]:
        return read_slept(self.pid, procfs.read_tasks(self.pid, self.proc), self.proc)

    def _dry_run(self, memory: Memory, threads: Sequence[KernelThread]) -> None:
        interp, self._moved = self._note_threads(memory)
        threads = [replace(one, stood_still=True) for one in threads]  # as they will be: what is read depends on it
        captured = Captured(self.pid, memory, self.maps, threads, this_machine(), "dry run")
        self._looked_at = self._choose_greenlets(memory)
        _, found = self._report(Source(interp, captured, greenlets=self._looked_at))
        for one in found if self.options.native else ():  # it takes pages that nobody else reads
            read_segments(interp, one.tstate)
        memory.read_many([(number, 1) for number in self._missed])  # what comes and goes, is often there again
        if self._looked_at is not None:
            with noting(interp) as self._of_greenlets:
                self._looked_at.note(interp)

    def _choose_greenlets(self, memory: Memory) -> GreenletSearch | None:
        """All of them, or examples; what the others lead to beyond what is copied is a gap."""
        found = self._greenlets
        if found is None or not isinstance(memory, RecordingMemory) or not self._may_choose:
            return found
        from lastwords.examine.greenlet_search import find_examples  # noqa: PLC0415

        few, memory.along = find_examples(found, self.pid, self.proc)
        return few

    def _note_threads(self, memory: Memory) -> tuple[Interpreter, Recheck]:
        """Where they stand; what was read of a list that changed meanwhile is read once more."""
        for tries in range(TRIES, 0, -1):
            interp = self._open(memory)
            moved = Recheck(interp, with_locals=self.options.locals)
            if moved.note() or tries == 1 or not isinstance(memory, RecordingMemory):
                break
            memory.forget()
        return interp, moved

    def _recheck(self, memory: CompletingMemory, _: object) -> None:
        assert self._moved is not None
        self._moved.touch(memory)
        if self._looked_at is not None and memory.changed(self._of_greenlets):
            self._moved.move_to(memory)
            self._looked_at.touch(self._moved.interp)

    def _open(self, memory: Memory) -> Interpreter:
        cache = SharedMemory(memory) if isinstance(memory, PagedMemory) else CachedMemory(memory)
        return self._open_image(cache)

    def _open_now(self) -> Interpreter:
        """As it is at each look."""
        return self._open_image(UncachedMemory(open_process_memory(self.pid, self.image.start)))

    def _open_image(self, memory: CachedMemory) -> Interpreter:
        interp = open_image(self.pid, memory, self.image)
        interp.main_tid = self.leader
        return interp

    def _report(self, source: Source) -> tuple[Report, list[PythonThread]]:
        report = new_report("attach")
        process = describe_process(self.pid, source.facts, self.proc)
        moment = new_moment(f"moment-{self.number}", process.id, "attach", source.captured)
        report.processes.append(process)
        report.moments.append(moment)
        return report, read_moment(report, moment, source, self.options)


def is_passing(report: Report) -> bool:
    """Whether the main thread is on its way out, but was met between two waits: gevent's exit waits in short turns."""
    shutdown, mains = report.moments[0].shutdown, [one for one in report.threads if one.is_main]
    is_ending = shutdown is not None and shutdown.phase == "shutdown"
    return is_ending and any(one.state == "running" or one.consistent is False for one in mains)
