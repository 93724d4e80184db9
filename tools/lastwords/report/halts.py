"""A process that something outside keeps from running, as text: by what, and how it goes on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from lastwords.model import Process, Report
from lastwords.report.clean import clean
from lastwords.report.layout import Page

THAWED = {"cgroup.freeze": "0", "freezer.state": "THAWED"}  # of control groups, version 2 and 1


def format_halt_headline(report: Report) -> str | None:
    """Which process does not run, and why: the first of them; None where all run."""
    halted = [process for process in report.processes if process.halt is not None]
    if not halted:
        return None
    more = f", and {len(halted) - 1} more stand still" if len(halted) > 1 else ""
    return f"nothing runs in process {halted[0].pid}: it is {_describe(halted[0])}{more}"


def format_halt(page: Page, process: Process) -> Iterator[str]:
    """The same below the process, with the command that lets it go on."""
    if process.halt is not None:
        yield from page.wrap(f"nothing in it runs: it is {_describe(process)}", "  ", hanging="    ")
        yield clean(f"    {_mend(process)}")  # to be pasted: never broken


def _describe(process: Process) -> str:
    halt = process.halt
    if halt is None or halt.how == "stopped":
        return "stopped by a signal (SIGSTOP, Ctrl-Z)"
    if halt.how == "traced":
        return f"held by process {halt.pid}, which traces it" if halt.pid else "held by a tracer"
    group = (halt.file or "").rpartition("/")[0]  # nothing where that is hidden
    return f"frozen by its control group{', ' if group else ''}{group}"


def _mend(process: Process) -> str:
    halt = process.halt
    if halt is not None and halt.how == "traced":
        return f"ps -o pid,args -p {halt.pid}" if halt.pid else f"lastwords doctor {process.pid}"
    if halt is not None and halt.file:
        return f"echo {THAWED.get(halt.file.rpartition('/')[2], '0')} | sudo tee {shlex.quote(halt.file)}"
    return f"kill -CONT {process.pid}"
