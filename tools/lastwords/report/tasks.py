"""One moment's asyncio tasks and event loops as text: those that stand alike are told once, the largest group first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from lastwords.model import Loop, Moment, Report, Task
from lastwords.report.folding import format_folded, place_of, split
from lastwords.report.layout import Page
from lastwords.report.stacks import format_stack, shown_frames
from lastwords.report.threads import describe_target, format_time, thread_name

FEW_NAMES = 4
STATES = {"running": "running", "waiting": "waiting", "ready": "about to run", "unstarted": "not started"}

Group = list[Task]


def format_tasks(page: Page, report: Report, moment: Moment, guilty: Mapping[str, int]) -> Iterator[str]:
    """The tasks of the moment, those that do the same told once; where some are guilty, these, and others folded.

    Nothing without any.
    """
    found = [one for one in report.tasks if one.moment == moment.id]
    if not found:
        return
    names = _Names(report)
    yield ""
    yield from page.wrap(_summary(found), hanging="  ", style=page.bold)
    for loop in report.loops:
        if loop.moment == moment.id:
            yield from page.wrap(_describe_loop(names, loop), "  ", hanging="    ")
    groups = [[one] for one in found] if page.details or page.each else _group(page, found, guilty)
    first, rest = split(page, groups, guilty)
    for group in first:
        yield ""
        yield from _format_group(page, names, group)
    yield from format_folded(page, "task", rest, partial(_in_one_line, names), bool(first))


def _in_one_line(names: _Names, task: Task) -> str:
    wait = task.waits_for
    state = STATES.get(task.state or "", "in no known state")
    return f"{names.of(task.id)}: {(wait and wait.detail) or state}{place_of(task.stack)}"


def _summary(found: Sequence[Task]) -> str:
    counts = Counter[str | None](one.state for one in found)
    states = ", ".join(f"{counts[state]} {name}" for state, name in STATES.items() if counts[state])
    return f"asyncio tasks: {len(found)} ({states})"


class _Names:
    """How tasks, and what they wait for, are called."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._tasks = {one.id: one for one in report.tasks}
        self._threads = {one.id: thread_name(one) for one in report.threads}
        self._holders: dict[str, list[str]] = {}
        for edge in report.edges:
            if edge.kind == "holds":
                self._holders.setdefault(edge.to, []).append(edge.origin)

    def of(self, identity: str | None) -> str:
        """`Task-7`; `a task at 0x7f...` before 3.8; a lock with its address; "" for None."""
        if identity is None:
            return ""
        task = self._tasks.get(identity)
        if task is not None:
            return task.name or f"a task at {task.address or 0:#x}"
        return self._threads.get(identity) or describe_target(self._report, identity)

    def holder(self, identity: str | None) -> str:
        """`, held by Task-2`, where that is known of one."""
        holders = self._holders.get(identity or "", [])
        return f", held by {self.of(holders[0])}" if len(holders) == 1 else ""


def _describe_loop(names: _Names, loop: Loop) -> str:
    where = f"in {names.of(loop.thread)}" if loop.thread else "which does not run"
    late = f"; the first is {loop.overdue_s:.1f} s late" if loop.overdue and loop.overdue_s is not None else ""
    facts = [
        f"runs {names.of(loop.task)}" if loop.task else "",
        f"callbacks to call now: {loop.ready}" if loop.ready is not None else "",
        f"timers: {loop.scheduled}" if loop.scheduled is not None else "",
        f"overdue: {loop.overdue}{late}" if loop.overdue else "",
        f"not all of it could be read: {loop.error}" if loop.error else "",
    ]
    return f"{(loop.type or 'loop').rpartition('.')[2]} {where}: {', '.join(filter(None, facts)) or 'nothing is told'}"


def _group(page: Page, found: Sequence[Task], guilty: Collection[str]) -> list[Group]:
    """Those of one state at the same lines, waiting in the same words; what runs comes first."""
    groups: dict[object, Group] = {}
    for one in found:
        stack = tuple((frame.file, frame.line, frame.function) for frame in shown_frames(page, one.stack))
        wait = one.waits_for.detail if one.waits_for else None
        has_own = one.error or one.holds or any(frame.locals for frame in one.stack)
        key = one.id if has_own else (one.type, one.state, one.loop, one.cancelling, wait, stack, one.id in guilty)
        groups.setdefault(key, []).append(one)
    return sorted(groups.values(), key=lambda group: (group[0].state != "running", -len(group)))


def _format_group(page: Page, names: _Names, group: Group) -> Iterator[str]:
    example = group[0]
    yield from page.wrap(_title(names, group), hanging="  ", style=page.bold)
    for fact in _facts(names, group):
        yield from page.wrap(fact, "  ", hanging="    ")
    if example.state == "running" and example.thread:
        yield "  its stack is the inner end of that of its thread, above"
    else:
        yield from format_stack(page, example.stack)
    if example.error:
        yield from page.wrap(f"not all of it could be read: {example.error}", "  ", hanging="    ")


def _title(names: _Names, group: Group) -> str:
    state = STATES.get(group[0].state or "", "in no known state")
    state += ", asked to end (cancel)" if group[0].cancelling else ""
    if len(group) == 1:
        return f"Task: {names.of(group[0].id)}, {state}"
    shown = ", ".join(names.of(one.id) for one in group[:FEW_NAMES])
    more = f" and {len(group) - FEW_NAMES} more" if len(group) > FEW_NAMES else ""
    return f"{len(group)} tasks like this, {state}: {shown}{more} (--all shows each)"


def _facts(names: _Names, group: Group) -> Iterator[str]:
    example = group[0]
    if example.thread:
        yield f"in {names.of(example.thread)}"
    wait = example.waits_for
    if wait is not None:
        is_same = all(one.waits_for and one.waits_for.target == wait.target for one in group)
        target = f": {names.of(wait.target)}{names.holder(wait.target)}" if wait.target and is_same else ""
        until = f", until {format_time(wait.until)}" if wait.until and len(group) == 1 else ""
        timeout = ", with a timeout" if wait.has_timeout and wait.kind != "sleep" else ""
        yield f"{wait.detail or wait.kind}{target}{until}{timeout}"
    for held in example.holds:
        yield f"holds {names.of(held)}"
