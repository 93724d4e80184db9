"""What a page leaves out: one line for each group of what is alike, so that nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol, TypeVar

from lastwords.model import Caught, Frame, Report
from lastwords.report.layout import Page
from lastwords.report.places import own_frame, short_place

FEW_GROUPS = 8
MOST_GUILTY = 12
MOST_GROUPS = 30  # of what is alike, where nobody is guilty
FEW_NAMES = 3
READ = ("attach", "hang", "core")  # moments of which all threads are shown
HEALTHY = "healthy"


class HasId(Protocol):
    """A thread, a greenlet, a task."""

    @property
    def id(self) -> str:
        """What it is called in the report."""


One = TypeVar("One", bound=HasId)


def find_guilty(report: Report) -> dict[str, int]:
    """The ids of the threads, greenlets and tasks that findings are about, and of the threads in which these run.

    Numbered, the first ones first; empty where nothing was found that is about one of them.
    """
    actors = {one.id for group in (report.threads, report.greenlets, report.tasks) for one in group}
    found = [one.id or "" for finding in report.findings if finding.code != HEALTHY for one in finding.subjects]
    guilty = {one: number for number, one in enumerate(dict.fromkeys(one for one in found if one in actors))}
    for runs, thread in [(one.greenlet, one.id) for one in report.threads] + [
        (one.id, one.thread) for one in report.tasks
    ]:
        if runs in guilty and thread:
            guilty.setdefault(thread, guilty[runs])
    for caught in report.exceptions:
        if guilty and caught.thread and is_told_with_threads(report, caught):
            guilty.setdefault(caught.thread, len(found))
    return guilty


def is_told_with_threads(report: Report, caught: Caught) -> bool:
    """Whether all threads of its moment are shown, its own among them."""
    shown = {moment.id for moment in report.moments if moment.reason in READ}
    return caught.moment in shown and any(thread.id == caught.thread for thread in report.threads)


def split(page: Page, groups: Sequence[list[One]], guilty: Collection[str]) -> tuple[list[list[One]], list[list[One]]]:
    """The groups to show, the guilty ones first, and those to fold."""
    if page.details or page.each:
        return list(groups), []
    if not guilty:
        return list(groups[:MOST_GROUPS]), list(groups[MOST_GROUPS:])
    order = {one: number for number, one in enumerate(guilty)}
    first = [group for group in groups if any(one.id in order for one in group)]
    first.sort(key=lambda group: min(order.get(one.id, len(order)) for one in group))
    rest = [group for group in groups if not any(one.id in order for one in group)]
    return first[:MOST_GUILTY], first[MOST_GUILTY:] + rest


def format_folded(
    page: Page, noun: str, groups: Sequence[list[One]], describe: Callable[[One], str], is_rest: bool
) -> Iterator[str]:
    """How many are left out, and what they do, a line for each of the first groups. Nothing where there are none."""
    count = sum(map(len, groups))
    if not count:
        return
    yield ""
    what = f"{count} {'more ' if is_rest else ''}{noun}{'' if count == 1 else 's'}"
    yield from page.wrap(f"{what}, folded (--all shows {'it' if count == 1 else 'them'}):", hanging="  ")
    for group in groups[:FEW_GROUPS]:
        many = f"{len(group)} like " if len(group) > 1 else ""
        yield from page.wrap(f"- {many}{describe(group[0])}", "  ", hanging="    ")
    if len(groups) > FEW_GROUPS:
        yield f"  - and {sum(map(len, groups[FEW_GROUPS:]))} others"


def place_of(stack: Sequence[Frame]) -> str:
    """`, app.py:3 in work`, or nothing without a Python frame."""
    frame = own_frame(stack)
    return f", {short_place(frame.file, frame.line)} in {frame.function}" if frame else ""
