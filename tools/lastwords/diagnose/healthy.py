"""`healthy`: nothing was caught."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.model import Evidence, Exit, Finding, Process, Report
from lastwords.signals import signal_name

CODE = "healthy"

EXPLANATION = "No exception was swallowed, none was left uncaught, and no process crashed while lastwords watched."


def diagnose(report: Report) -> Iterator[Finding]:
    """The one finding of a report in which nothing was caught; likely where something could not be watched."""
    watched = not report.problems and all(process.exit for process in report.processes) and report.processes
    yield Finding(
        code=CODE,
        title=_title(report.processes) + ("; but not everything could be watched" if report.problems else ""),
        certainty="certain" if watched else "likely",
        evidence=[_evidence(process) for process in report.processes],
        explanation=EXPLANATION,
    )


def _title(processes: list[Process]) -> str:
    if len(processes) == 1 and processes[0].exit:
        return f"nothing was caught; the program ended with {format_exit(processes[0].exit)}"
    return f"nothing was caught in {len(processes)} process{'' if len(processes) == 1 else 'es'}"


def format_exit(end: Exit) -> str:
    """`exit code 3`, or `SIGTERM`."""
    return signal_name(end.signal) if end.signal else f"exit code {end.code}"


def _evidence(process: Process) -> Evidence:
    return Evidence(text=f"process {process.pid}", value=format_exit(process.exit) if process.exit else "still runs")
