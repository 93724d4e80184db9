"""Parts of a report as text, for who looks at one moment again and again (gdb_scripts/commands.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lastwords.model import Object, Report, Thread
from lastwords.report.exceptions import format_value
from lastwords.report.greenlets import format_greenlets
from lastwords.report.layout import Page
from lastwords.report.text import format_report
from lastwords.report.threads import actor_name, describe_target, format_moment, list_actors, thread_name


def format_part(report: Report, what: str, page: Page, selected: int | None) -> Iterator[str]:
    """One of PARTS; `selected` is the tid of the thread that comes first, where that matters."""
    return PARTS[what](report, page, selected)


def _format_all(report: Report, page: Page, _: int | None) -> Iterator[str]:
    return format_report(
        report, page.colour, width=page.width, details=page.details, native=page.native, each=page.each
    )


def _format_stacks(report: Report, page: Page, _: int | None) -> Iterator[str]:
    for moment in report.moments:
        yield from format_moment(page, report, moment, guilty={})


def _format_greenlets(report: Report, page: Page, _: int | None) -> Iterator[str]:
    lines = [line for moment in report.moments for line in format_greenlets(page, report, moment, guilty={})]
    yield from lines[1:] or ["No greenlets were found."]


def _format_locks(report: Report, page: Page, _: int | None) -> Iterator[str]:
    names = {one.id: actor_name(one) for one in list_actors(report)}
    yield from _format_gil(report, page, names)
    for one in report.objects:
        yield from page.wrap(describe_target(report, one.id), hanging="  ", style=page.bold)
        yield from _format_relations(report, page, one, names)
    if not report.objects:
        yield "No thread waits for a lock or is seen to hold one."


def _format_gil(report: Report, page: Page, names: dict[str, str]) -> Iterator[str]:
    for gil in (moment.gil for moment in report.moments if moment.gil is not None):
        holder = f"held by {names[gil.holder]}" if gil.holder else "held by nobody"
        waiters = ", ".join(names[one] for one in gil.waiters)
        yield from page.wrap(f"the GIL: {holder}{f'; waited for by {waiters}' if waiters else ''}", hanging="  ")


def _format_relations(report: Report, page: Page, one: Object, names: dict[str, str]) -> Iterator[str]:
    for kind, says in (("holds", "held by"), ("waits", "waited for by")):
        for edge in report.edges:
            if edge.to == one.id and edge.kind == kind and edge.origin in names:
                evidence = f": {edge.evidence}" if edge.evidence and kind == "holds" else ""
                text = f"{says} {names[edge.origin]} ({edge.certainty}){evidence}"
                yield from page.wrap(text, "  ", hanging="    ")
    if one.locked is False:
        yield "  it is not locked"


def _format_exceptions(report: Report, page: Page, selected: int | None) -> Iterator[str]:
    threads = sorted(report.threads, key=lambda thread: thread.tid != selected)
    having = [thread for thread in threads if thread.handled or thread.pending]
    for thread in having:
        yield from _format_exceptions_of(page, thread)
    if not having:
        yield "No thread handles an exception or is about to raise one."


def _format_exceptions_of(page: Page, thread: Thread) -> Iterator[str]:
    for what, exception in (("handles", thread.handled), ("is about to raise", thread.pending)):
        if exception is not None:
            yield from page.wrap(f"{thread_name(thread)} (tid {thread.tid}) {what}:", style=page.bold)
            yield from format_value(page, exception)


PARTS: dict[str, Callable[[Report, Page, int | None], Iterator[str]]] = {
    "report": _format_all,
    "stacks": _format_stacks,
    "greenlets": _format_greenlets,
    "locks": _format_locks,
    "exception": _format_exceptions,
}
