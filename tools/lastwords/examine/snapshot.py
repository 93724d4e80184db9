"""`snapshot`: one moment of a live process, as `attach` reads it, and all that it takes to read it again elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lastwords import __version__
from lastwords.capture import procfs
from lastwords.capture.captured import Captured, KernelThread
from lastwords.capture.memory import CachedMemory, Memory, UncachedMemory
from lastwords.capture.snapshot.facts import RecordingFacts
from lastwords.capture.snapshot.landmarks import find_names, read_landmarks
from lastwords.capture.snapshot.note import SnapshotNote, ThreadNote, note_of
from lastwords.capture.snapshot.write import Owner
from lastwords.capture.stop.copied import PagedMemory
from lastwords.cpython import Interpreter
from lastwords.cpython.interpreter import open_image
from lastwords.examine.greenlet_search import GREENLETS
from lastwords.examine.process import Attached, explained
from lastwords.examine.read import Options, Source
from lastwords.model import Report


class Snapshot(msgspec.Struct):
    """A moment to be written: `report` is what was read in it, `names` what the loader calls files."""

    captured: Captured
    owner: Owner
    note: SnapshotNote
    report: Report
    names: dict[str, str]


def take_snapshot(pid: int, options: Options, *, pause: bool = True, proc: Path = procfs.PROC) -> Snapshot:
    """One moment of the process. Raises TargetError and SetupError."""
    with explained(pid, proc):
        return _Kept(procfs.find_way_in(pid, proc), options, proc).take(pause)


class _Kept(Attached):
    """Remembers what it has read."""

    keeps_vectors = True
    _facts: RecordingFacts
    _captured: Captured

    def take(self, pause: bool) -> Snapshot:
        """The moment with its report."""
        report = self.capture(pause)
        captured, facts = self._captured, self._facts
        facts.ask_all()
        status = procfs.read_status(self.pid, self.proc)
        process = report.processes[0]
        note = self._describe(captured, facts, report)
        if len(status.ns_pids) > 1:
            note.threads = list(_add_inner_tids(note.threads, self.proc / str(self.pid) / "task"))
        owner = Owner(self.leader, status.ppid, status.uid, status.name, process.argv)
        names = find_names(captured.memory, captured.maps, captured.auxv)
        return Snapshot(captured, owner, note, report, names)

    def _describe(self, captured: Captured, facts: RecordingFacts, report: Report) -> SnapshotNote:
        note = note_of(captured, __version__)
        note.build_ids = read_landmarks(captured.memory, captured.maps, captured.auxv)
        note.answers = facts.answers
        note.monotonic_start = time.time() - time.monotonic()
        note.found = {GREENLETS: self._greenlets.found.addresses} if self._greenlets else {}
        note.report = msgspec.to_builtins(report)
        for file, line, text in _find_sources(note.report):
            note.sources.setdefault(file, {})[line] = text
        return note

    def _dry_run(self, memory: Memory, threads: Sequence[KernelThread]) -> None:
        super()._dry_run(memory, threads)
        read_landmarks(memory, self.maps, procfs.read_auxv(self.pid, self.proc))

    def _source(self, captured: Captured) -> Source:
        source = super()._source(captured)
        assert source.facts is not None
        self._captured, self._facts = captured, RecordingFacts(source.facts)
        return replace(source, facts=self._facts)

    def _open(self, memory: Memory) -> Interpreter:
        """The copy is asked for what is needed and no more: that is what will be kept.

        With all checks that are made of a CPython never seen before (as another `elf` is): so it is opened later.
        """
        cached = UncachedMemory(memory) if isinstance(memory, PagedMemory) else CachedMemory(memory)
        interp = open_image(self.pid, cached, replace(self.image, elf=replace(self.image.elf)))
        interp.main_tid = self.leader
        return interp


def _add_inner_tids(threads: Sequence[ThreadNote], tasks: Path) -> Iterator[ThreadNote]:
    """With the ids that threads have in their own pid namespace: nobody can be asked for them later."""
    for one in threads:
        try:
            inner = procfs.read_status(one.kernel.tid, tasks).ns_pids[-1]
        except (OSError, procfs.ProcessGoneError):  # it has ended meanwhile
            inner = None
        yield ThreadNote(replace(one.kernel, inner_tid=inner), one.is_whole)


def _find_sources(value: object) -> Iterator[tuple[str, int, str]]:
    """File, number and text of each line of the program that stands in a report."""
    if isinstance(value, list):
        for one in value:
            yield from _find_sources(one)
    elif isinstance(value, dict):
        if value.get("kind") == "python" and value.get("source") is not None:
            yield value["file"], value["line"], value["source"]
        for one in value.values():
            yield from _find_sources(one)
