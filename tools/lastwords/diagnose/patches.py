"""Which modules had been imported when gevent patched them, by whom, and where the patch came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from lastwords.frames import is_patchers, own_frame
from lastwords.model import Frame, Patch, Process, Report, WatchedImport

Record = TypeVar("Record", Patch, WatchedImport)


class TooLate(msgspec.Struct, frozen=True):
    """A module that gevent patched, and its first import; `before` tells whether the import came first."""

    process: str
    module: str
    imported: WatchedImport
    patch: Patch
    before: bool

    @property
    def import_at(self) -> Frame | None:
        """The import statement itself."""
        return next(iter(self.imported.first_importer), None)

    @property
    def patch_at(self) -> Frame | None:
        """The line of the program that had the patch applied."""
        return own_frame(self.patch.at)


def patched_too_late(report: Report) -> list[TooLate]:
    """The modules that were imported before gevent patched them, in the order of their imports.

    Imports that gevent itself asked for are left out: it knows what it patches.
    """
    pairs = [pair_up(report, patch.process, patch.module, patch) for patch in report.imports.patches]
    late = {(pair.process, pair.module): pair for pair in reversed(pairs) if pair and pair.before}
    kept = [pair for pair in late.values() if not any(map(is_patchers, pair.imported.first_importer))]
    return sorted(kept, key=lambda pair: (pair.process, pair.imported.order))


def pair_up(report: Report, process: str, module: str, patch: Patch) -> TooLate | None:
    """The first import of `module`, as `process` sees it, beside the patch."""
    imported = find_record(report, process, report.imports.watched, lambda watched: watched.module == module)
    if imported is None:
        return None
    family = list(_lineage(report, process))
    if imported.process == patch.process:
        before = imported.order < patch.order
    else:  # the older process did its part before the fork
        before = family.index(imported.process) > family.index(patch.process)
    return TooLate(process, module, imported, patch, before)


def find_record(report: Report, process: str, records: list[Record], fits: Callable[[Record], bool]) -> Record | None:
    """The first record that fits, of the process itself or else of the nearest parent it was forked from."""
    for member in _lineage(report, process):
        found = [record for record in records if record.process == member and fits(record)]
        if found:
            return min(found, key=lambda record: record.order)
    return None


def _lineage(report: Report, process: str) -> Iterator[str]:
    """The process's id and those of its parents, as far as they are in the report."""
    by_id = {one.id: one for one in report.processes}
    by_pid = {one.pid: one for one in report.processes}
    seen: set[str] = set()
    current: Process | None = by_id.get(process)
    yield process
    while current and current.id not in seen:
        seen.add(current.id)
        current = by_pid.get(current.ppid) if current.ppid else None
        if current and current.id not in seen:
            yield current.id
