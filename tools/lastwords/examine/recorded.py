"""What the note of a snapshot adds to a report that is read from its memory."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec.structs import replace

from lastwords.capture.captured import Captured
from lastwords.capture.snapshot.note import SnapshotNote
from lastwords.cpython.source import Sources
from lastwords.errors import TargetError
from lastwords.model import Process, Report


class KeptSources(Sources):
    """The lines of the program's files that were looked at when the snapshot was made."""

    def __init__(self, lines: dict[str, dict[int, str]]) -> None:
        super().__init__(0, Path("/nonexistent"))
        self._lines = lines

    def find_line(self, file: str, line: int) -> str | None:
        """See Sources."""
        return self._lines.get(file, {}).get(line)


def describe_capture(captured: Captured, note: SnapshotNote) -> Captured:
    """How the moment was captured."""
    return replace(
        captured,
        method=f"snapshot, {note.method}",
        pause_ms=note.pause_ms,
        size=note.bytes,
        problems=[*note.problems, *captured.problems],
        monotonic_start=note.monotonic_start,
    )


def read_recorded(note: SnapshotNote) -> Report:
    """The report that was made with the snapshot. Raises TargetError."""
    try:
        report = msgspec.convert(note.report, Report)
    except msgspec.ValidationError as error:
        raise _explain_damage(str(error)) from None
    if not report.processes or not report.moments:
        raise _explain_damage("it has no process or no moment")
    return report


def _explain_damage(why: str) -> TargetError:
    return TargetError(f"The report in the snapshot's note is damaged: {why}.", "gdb EXECUTABLE SNAPSHOT")


def recorded_process(note: SnapshotNote) -> Process:
    """What /proc said of the process; what its memory says is left to be read."""
    return replace(read_recorded(note).processes[0], python=None, libraries={}, modules=[])


def add_recorded(report: Report, note: SnapshotNote) -> None:
    """When it was, since when threads had slept, and what could not be read even then."""
    recorded = read_recorded(note)
    idle = {thread.id: thread.idle_s for thread in recorded.threads}
    report.captured_at = recorded.captured_at
    for thread in report.threads:
        thread.idle_s = idle.get(thread.id)
    capture = report.moments[0].capture
    before = recorded.moments[0].capture.problems
    capture.problems = [*before, *(one for one in capture.problems if one not in before)]


def recorded_report(note: SnapshotNote, why: str) -> Report:
    """The report that was made with the snapshot, for a machine on which its memory cannot be read again."""
    report = read_recorded(note)
    report.mode = "core"
    capture = report.moments[0].capture
    capture.method = f"snapshot, {note.method}"
    capture.problems.append(f"shown is what was read when the snapshot was made, because here: {why.rstrip('.')}")
    return report
