"""The report as text: the answer first, then what it rests on, the fix, and everything that was caught.

80 columns, readable when pasted into an issue. What came out of the target is escaped (see `clean`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lastwords.frames import is_patchers, own_frames
from lastwords.model import Evidence, Exit, Finding, Frame, Patch, Process, Report
from lastwords.report.clean import clean
from lastwords.report.exceptions import format_caught
from lastwords.report.greenlets import format_greenlets
from lastwords.report.layout import Native, Page, format_number, shorten
from lastwords.report.processes import format_tree, format_tree_headline, is_tree
from lastwords.report.tasks import format_tasks
from lastwords.report.threads import format_headline, format_moment
from lastwords.signals import signal_name

HEALTHY = "healthy"
IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy"}


def format_report(  # noqa: PLR0913 (all that a page is)
    report: Report,
    colour: bool = False,
    *,
    width: int = 80,
    details: bool = False,
    native: Native = "fold",
    each: bool = False,
) -> Iterator[str]:
    """The whole report, line by line: see Page."""
    page = Page(width=width, colour=colour, details=details, native=native, each=each)
    if not report.findings:
        headline = format_tree_headline(report) if is_tree(report) else format_headline(report)
        yield from page.wrap(f"{_cause_of_death(report)}{headline or 'no findings'}", style=page.bold)
    elif all(finding.code == HEALTHY for finding in report.findings):
        yield page.bold(clean(report.findings[0].title))
    else:
        yield from _format_answer(page, report)
    yield from format_tree(page, report, _format_process) if is_tree(report) else _format_processes(page, report)
    yield from _format_problems(page, report)


def _cause_of_death(report: Report) -> str:
    """For a core of a process that was killed, but did not crash: SIGQUIT, say."""
    end = report.processes[0].exit if report.mode == "core" and report.processes else None
    return f"killed by {signal_name(end.signal)}: " if end and end.signal else ""


def _format_answer(page: Page, report: Report) -> Iterator[str]:
    first, *others = report.findings
    yield from page.wrap(first.title, style=page.bold)
    yield from _format_finding(page, first)
    for finding in others:
        yield ""
        yield from page.wrap(f"also: {finding.title}", hanging="      ", style=page.bold)
        yield from _format_finding(page, finding)


def _format_finding(page: Page, finding: Finding) -> Iterator[str]:
    yield from page.wrap(f"{finding.code}, {finding.certainty}; more: lastwords explain {finding.code}", "  ")
    if finding.evidence:
        yield ""
        yield page.heading("Because")
        for evidence in finding.evidence:
            yield from _format_evidence(page, evidence)
    for title, text in (("Why", finding.explanation), ("Fix", finding.fix)):
        if text:
            yield ""
            yield page.heading(title)
            yield from page.paragraphs(text, "  ")
    for reference in finding.references:
        yield f"  {clean(reference)}"


def _format_evidence(page: Page, evidence: Evidence) -> Iterator[str]:
    at = f"{evidence.file}:{evidence.line}" if evidence.file and evidence.line else evidence.file
    in_place = bool(at) and evidence.value is not None
    tail = "" if evidence.value is None or in_place else f": {shorten(evidence.value)}"
    yield from page.wrap(f"- {evidence.text}{tail}", "  ", hanging="    ")
    if at:
        yield f"      {page.dim(clean(at))}"
    if in_place and evidence.value is not None:
        yield f"        {clean(shorten(evidence.value))}"


def _format_processes(page: Page, report: Report) -> Iterator[str]:
    """One section for each process of which there is something to tell."""
    for number, process in enumerate(report.processes, 1):
        body = list(_format_process(page, report, process))
        if body or len(report.processes) == 1:
            yield ""
            title = _describe(process, number, len(report.processes), report.mode in ("attach", "core"))
            yield from page.wrap(title, hanging="  ", style=page.bold)
            yield from body
    known = {process.id for process in report.processes}
    for caught in report.exceptions:
        if caught.process not in known:
            yield ""
            yield from format_caught(page, report, caught)


def _describe(process: Process, number: int, count: int, is_moment: bool) -> str:
    which = f"Process {number} of {count}" if count > 1 else "Process"
    python = process.python
    kind = (python.implementation or "cpython") if python else ""
    version = f"{IMPLEMENTATIONS.get(kind, kind)} {python.version}" if python and python.version else None
    facts = [
        format_number("pid", process.pid, process.ns_pid),
        version,
        *(f"{name} {at}" for name, at in process.libraries.items()),
    ]
    if process.exit or not is_moment:
        facts.append(format_exit(process.exit) if process.exit else "no exit seen")
    return f"{which}: {', '.join(filter(None, facts))}: {' '.join(process.argv) or process.executable or '?'}"


def format_exit(end: Exit) -> str:
    """`exit code 3`, or `killed by signal 11`."""
    return f"killed by signal {end.signal}" if end.signal else f"exit code {end.code}"


def _format_process(page: Page, report: Report, process: Process) -> Iterator[str]:
    for moment in report.moments:
        if moment.process == process.id and moment.reason in ("attach", "hang", "core"):
            yield from page.wrap(f"read: {moment.capture.method}", "  ", hanging="    ")
            yield from format_moment(page, report, moment)
            yield from format_greenlets(page, report, moment)
            yield from format_tasks(page, report, moment)
    for caught in report.exceptions:
        if caught.process == process.id:
            yield ""
            yield from format_caught(page, report, caught)
    yield from _format_trace(page, report, process)
    yield from _format_imports(page, report, process)
    if process.agent:
        yield from page.wrap(f"agent: {process.agent}", "  ", hanging="    ")


def _format_trace(page: Page, report: Report, process: Process) -> Iterator[str]:
    calls = [call for call in report.trace if call.process == process.id]
    if not calls:
        return
    from lastwords.report.tree import format_trace  # noqa: PLC0415 (only a report with a trace pays for it)

    yield ""
    yield page.heading("The shutdown, as hunter saw it")
    for line in format_trace(calls):
        yield f"  {clean(line)}"


def _format_imports(page: Page, report: Report, process: Process) -> Iterator[str]:
    """Imports older than the patch of their module, but gevent's own; where patches came; with details all."""
    watched = [one for one in report.imports.watched if one.process == process.id]
    patches = sorted((one for one in report.imports.patches if one.process == process.id), key=lambda one: one.order)
    patched_at = {patch.module: patch.order for patch in reversed(patches)}
    early = [one for one in watched if one.order < patched_at.get(one.module, 0)]
    shown = watched if page.details else [one for one in early if not any(map(is_patchers, one.first_importer))]
    if not shown and not patches:
        return
    yield ""
    yield page.heading("Imports and patches, in their order")
    for one in sorted(shown, key=lambda one: one.order):
        yield from page.wrap(f"import {one.module}", "  ", hanging="      ")
        yield from page.chain(one.first_importer) if one.first_importer else ["      before the program's first line"]
    for frame, modules in _group(patches):
        yield from page.wrap(f"patch of {', '.join(modules)}", "  ", hanging="      ")
        yield from page.chain(frame)


def _group(patches: list[Patch]) -> Iterator[tuple[list[Frame], list[str]]]:
    """The patches that one line of the program asked for: that line with its callers, and the modules."""
    groups: dict[tuple[str | None, int | None], tuple[list[Frame], list[str]]] = {}
    for patch in patches:
        frames = own_frames(patch.at)
        place = (frames[0].file, frames[0].line) if frames else (None, None)
        modules = groups.setdefault(place, (frames, []))[1]
        if patch.module not in modules:
            modules.append(patch.module)
    yield from groups.values()


def _format_problems(page: Page, report: Report) -> Iterator[str]:
    pids = {process.id: process.pid for process in report.processes}
    problems: Iterable[str] = [
        *report.problems,
        *(
            f"process {pids.get(moment.process)}: {problem}" if is_tree(report) else problem
            for moment in report.moments
            for problem in moment.capture.problems
        ),
    ]
    for at, (problem, count) in enumerate(_count(problems).items()):
        if at == 0:
            yield ""
            yield page.heading("What could not be read")
        yield from page.wrap(f"- {problem}{f' ({count} times)' if count > 1 else ''}", "  ", hanging="    ")


def _count(problems: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for problem in problems:
        counts[problem] = counts.get(problem, 0) + 1
    return counts
