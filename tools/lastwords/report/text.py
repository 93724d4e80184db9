"""The report as text: the answer first, then what it rests on, the fix, and everything that was caught.

80 columns, readable when pasted into an issue. What came out of the target is escaped (see `clean`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from lastwords.frames import is_patchers, own_frames
from lastwords.model import Caught, Exit, Frame, Patch, Process, Report
from lastwords.report.answer import format_findings
from lastwords.report.clean import clean
from lastwords.report.exceptions import describe_caught, format_caught
from lastwords.report.folding import HEALTHY, READ, find_guilty, format_folded
from lastwords.report.greenlets import format_greenlets
from lastwords.report.halts import format_halt, format_halt_headline
from lastwords.report.layout import Native, Page, format_number
from lastwords.report.processes import Format, format_tree, is_tree
from lastwords.report.tasks import format_tasks
from lastwords.report.threads import format_headline, format_moment
from lastwords.signals import signal_name

FEW_PROCESSES = 6
MOST_EXCEPTIONS = 10  # told whole
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
        headline = format_halt_headline(report) or format_headline(report)
        yield from page.wrap(f"{_cause_of_death(report)}{headline or 'no findings'}", style=page.bold)
        yield from _tell_unread(page, report)
    elif all(finding.code == HEALTHY for finding in report.findings):
        yield from page.wrap(report.findings[0].title, style=page.bold)
    else:
        yield from format_findings(page, report.findings)
    format_one = partial(_format_process, guilty=find_guilty(report))
    yield from format_tree(page, report, format_one) if is_tree(report) else _format_processes(page, report, format_one)
    yield from _format_problems(page, report)


def _cause_of_death(report: Report) -> str:
    """For a core of a process that was killed, but did not crash: SIGQUIT, say."""
    end = report.processes[0].exit if report.mode == "core" and report.processes else None
    return f"killed by {signal_name(end.signal)}: " if end and end.signal else ""


def _tell_unread(page: Page, report: Report) -> Iterator[str]:
    """The other processes that have a part in what a live one waits for: the answer may be there."""
    if report.mode != "attach" or len(report.processes) != 1:
        return
    own = report.processes[0].pid
    others = sorted(_find_others(report) - {own})
    if others:
        shown = ", ".join(map(str, others[:FEW_PROCESSES]))
        more = f" and {len(others) - FEW_PROCESSES} more" if len(others) > FEW_PROCESSES else ""
        who = f"process {shown}, which has" if len(others) == 1 else f"processes {shown}{more}, which have"
        yield from page.wrap(f"not read: {who} a part in what it waits for", "  ", hanging="    ")
        yield f"  All processes below {own} are read by:  lastwords attach --tree {own}"


def _find_others(report: Report) -> set[int]:
    objects = {one.id: one for one in report.objects}
    found: set[int] = set()
    for wait in (one.waits_for for one in report.threads if one.waits_for):
        target = objects.get(wait.target or "")
        found.update(wait.pids or (), (target and target.sharers) or (), [wait.pid] if wait.pid is not None else ())
    return found


def _format_processes(page: Page, report: Report, format_one: Format) -> Iterator[str]:
    """One section for each process of which there is something to tell."""
    for number, process in enumerate(report.processes, 1):
        body = list(format_one(page, report, process))
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


def _format_process(page: Page, report: Report, process: Process, guilty: Mapping[str, int]) -> Iterator[str]:
    for moment in report.moments:
        if moment.process == process.id and moment.reason in READ:
            yield from page.wrap(f"read: {moment.capture.method}", "  ", hanging="    ")
            if moment.test:
                yield from page.wrap(f"while {moment.test} ran", "  ", hanging="    ")
            yield from format_halt(page, process)
            yield from format_moment(page, report, moment, guilty)
            yield from format_greenlets(page, report, moment, guilty)
            yield from format_tasks(page, report, moment, guilty)
    yield from _format_exceptions(page, report, [one for one in report.exceptions if one.process == process.id])
    yield from _format_trace(page, report, process)
    yield from _format_imports(page, report, process)
    if process.agent:
        yield from page.wrap(f"agent: {process.agent}", "  ", hanging="    ")


def _format_exceptions(page: Page, report: Report, found: Sequence[Caught]) -> Iterator[str]:
    """The first ones whole, what the first finding is about before all others."""
    about = {one.id for finding in report.findings[:1] for one in finding.subjects}
    ordered = sorted(found, key=lambda one: one.id not in about)
    most = len(ordered) if page.details or page.each else MOST_EXCEPTIONS
    for caught in ordered[:most]:
        yield ""
        yield from format_caught(page, report, caught)
    yield from format_folded(
        page, "exception", [[one] for one in ordered[most:]], partial(describe_caught, report), bool(most)
    )


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
