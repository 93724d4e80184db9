"""A tree of processes as text (`attach --tree`): who is whose child, then each; who do the same are told once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from lastwords.model import Moment, Object, Process, Report, Thread
from lastwords.report.clean import clean
from lastwords.report.folding import HEALTHY, split
from lastwords.report.layout import Page, format_number, shorten
from lastwords.report.threads import describe_wait, thread_name, what_it_does

FEW_PIDS = 12
LONGEST_COMMAND = 36
Format = Callable[[Page, Report, Process], Iterator[str]]


def is_tree(report: Report) -> bool:
    """Whether the report is one of `attach --tree`."""
    return report.window_ms is not None


def format_tree_headline(report: Report) -> str:
    """How many processes there are, and how near to one moment they were read."""
    count = len(report.processes)
    pythons = sum(process.python is not None for process in report.processes)
    those = "" if pythons == count else f", {pythons} of them Python"
    return f"{count} {'process' if count == 1 else 'processes'}{those}, read within {report.window_ms or 0:.1f} ms"


def format_tree(page: Page, report: Report, format_process: Format) -> Iterator[str]:
    """The tree, a line for each process; then what each does, those that do the same together (with --all each)."""
    yield ""
    yield page.heading(format_tree_headline(report))
    yield from _format_overview(page, report)
    groups = [[process] for process in report.processes] if page.details or page.each else _group(report)
    first, rest = split(page, groups, _guilty(report))
    for group in first:
        yield ""
        yield from page.wrap(_title(report, group), hanging="  ", style=page.bold)
        yield from format_process(page, report, group[0])
    if rest:
        yield ""
        count = sum(map(len, rest))
        what = "1 more process" if count == 1 else f"{count} more processes"
        yield f"{what}, folded (--all shows {'it' if count == 1 else 'them'})"


def _guilty(report: Report) -> dict[str, int]:
    """The processes that findings are about, and those of whom they are about."""
    moments = {moment.id: moment.process for moment in report.moments}
    groups = (report.threads, report.greenlets, report.tasks)
    owners = {one.id: moments.get(one.moment) for group in groups for one in group}
    found = [one for one in report.findings if one.code != HEALTHY]
    about = [owners.get(one.id or "", one.id) for finding in found for one in finding.subjects]
    named = dict.fromkeys([*about, *(finding.process for finding in found)])
    return {one: number for number, one in enumerate(filter(None, named))}


def _format_overview(page: Page, report: Report) -> Iterator[str]:
    children: dict[str, list[Process]] = {}
    parents = {edge.origin: edge.to for edge in report.edges if edge.kind == "parent"}
    for process in report.processes:
        if process.id in parents:
            children.setdefault(parents[process.id], []).append(process)
    todo = [(process, "  ", "  ") for process in reversed(report.processes) if process.id not in parents]
    while todo:
        process, mark, indent = todo.pop()
        line = f"{mark}{process.pid}  {shorten_command(process)}  {_activity(report, process)}"
        yield clean(line if len(line) <= page.width or page.details else f"{line[: page.width - 3]}...")
        below = children.get(process.id, [])
        last = below[-1:] and below[-1]
        for child in reversed(below):
            is_last = child is last
            todo.append((child, f"{indent}{'`-' if is_last else '|-'} ", f"{indent}{'   ' if is_last else '|  '}"))


def shorten_command(process: Process) -> str:
    """The program without its directory, and as much of its arguments as fits."""
    words = process.argv or [process.executable or "?"]
    command = " ".join([words[0].rpartition("/")[2] or words[0], *words[1:]])
    return command if len(command) <= LONGEST_COMMAND else f"{command[: LONGEST_COMMAND - 3]}..."


def _activity(report: Report, process: Process) -> str:
    threads = _threads(report, process)
    if not threads:
        return "has ended"
    thread = next((one for one in threads if one.is_main), threads[0])
    more = f" (and {len(threads) - 1} more threads)" if len(threads) > 1 else ""
    if thread.waits_for is not None:
        return f"{describe_wait(report, thread)}{more}"
    frame = next((one for one in thread.stack if one.kind == "python"), None)
    at = f" at {frame.file}:{frame.line}" if frame else ""
    does = "is not there any more" if thread.alive is False else thread.state or "runs"
    return f"{does}{at}{more}"


def _threads(report: Report, process: Process) -> list[Thread]:
    moments = {moment.id for moment in report.moments if moment.process == process.id}
    return [thread for thread in report.threads if thread.moment in moments]


def _group(report: Report) -> list[list[Process]]:
    """Processes whose threads stand at the same lines in the same calls, together, in the order of the first."""
    groups: dict[object, list[Process]] = {}
    objects = {one.id: one for one in report.objects}
    moments = {moment.process: moment for moment in report.moments}
    for process in report.processes:
        same = _what_it_does(process, moments.get(process.id), _threads(report, process), objects)
        groups.setdefault(same or process.id, []).append(process)
    return list(groups.values())


def _what_it_does(
    process: Process, moment: Moment | None, threads: Sequence[Thread], objects: dict[str, Object]
) -> object:
    """The same for two processes that need to be told only once; None for one that is told by itself.

    Not the addresses and pids of what is waited for: they are each process's own.
    """
    if any(frame.locals for thread in threads for frame in thread.stack) or any(one.error for one in threads):
        return None
    phase = moment.shutdown.phase if moment and moment.shutdown else None
    kind = process.python.version if process.python else tuple(process.argv)
    return (
        kind,
        phase,
        process.halt and process.halt.how,
        frozenset(Counter(_what_is_done(thread, objects) for thread in threads).items()),
    )


def _what_is_done(thread: Thread, objects: dict[str, Object]) -> object:
    return (
        tuple((frame.file or frame.library, frame.line, frame.function) for frame in thread.stack),
        what_it_does(thread, objects),
        thread_name(thread) if thread.is_main else None,
    )


def _title(report: Report, group: Sequence[Process]) -> str:
    first, count = group[0], len(report.processes)
    numbers = [report.processes.index(process) + 1 for process in group]
    python = first.python
    facts = [f"CPython {python.version}" if python and python.version else ""]
    facts += [f"{name} {version}" for name, version in first.libraries.items()]
    command = shorten(" ".join(first.argv) or first.executable or "?")
    if len(group) == 1:
        facts = [format_number("pid", first.pid, first.ns_pid), *filter(None, facts)]
        return f"Process {numbers[0]} of {count}: {', '.join(facts)}: {command}"
    pids = ", ".join(str(process.pid) for process in group[:FEW_PIDS])
    more = f" and {len(group) - FEW_PIDS} more" if len(group) > FEW_PIDS else ""
    which = f"{len(group)} of {count} processes, all like this: {pids}{more} (--all shows each)"
    return f"{', '.join(filter(None, [which, *facts]))}: {command}"
