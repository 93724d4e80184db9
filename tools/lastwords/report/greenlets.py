"""One moment's greenlets as text: what runs and its parents, then those that are alike, the largest group first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from lastwords.model import Frame, Greenlet, Hub, Moment, Report
from lastwords.report.folding import format_folded, place_of, split
from lastwords.report.greenlet_words import Words
from lastwords.report.layout import Page
from lastwords.report.stacks import format_stack, shown_frames

FEW_NAMES = 4
FEW_SPAWNERS = 1
STATES: dict[str | None, str] = {
    "running": "running",
    "suspended": "suspended",
    "unstarted": "not started",
    "dead": "finished",
}

Group = list[Greenlet]


def format_greenlets(page: Page, report: Report, moment: Moment, guilty: Mapping[str, int]) -> Iterator[str]:
    """The greenlets of the moment, those that do the same told once; where some are guilty, these, and others folded.

    Nothing without any.
    """
    found = [one for one in report.greenlets if one.moment == moment.id]
    if not found:
        return
    words = Words(report, found)
    yield ""
    yield from page.wrap(_summary(found), hanging="  ", style=page.bold)
    for hub in report.hubs:
        if hub.moment == moment.id and (hub.state or hub.counts):
            yield from page.wrap(words.describe_hub(hub), "  ", hanging="    ")
            yield from _format_wakers(page, hub)
    first, rest = split(page, list(_arrange(page, found, guilty)), guilty)
    for group in first:
        yield ""
        yield from _format_group(page, words, group)
    yield from format_folded(page, "greenlet", rest, partial(_in_one_line, words), bool(first))


def _in_one_line(words: Words, greenlet: Greenlet) -> str:
    wait = greenlet.waits_for
    state = STATES.get(greenlet.state, "in no known state")
    return f"{words.name(greenlet)}: {(wait and wait.detail) or state}{place_of(greenlet.stack)}"


def _summary(found: Sequence[Greenlet]) -> str:
    counts = Counter[str | None](one.state for one in found)
    states = ", ".join(f"{counts[state]} {name}" for state, name in STATES.items() if counts[state])
    return f"Greenlets: {len(found)} ({states})"


def _arrange(page: Page, found: Sequence[Greenlet], guilty: Collection[str]) -> Iterator[Group]:
    """What runs, with its parents, each by itself; then groups."""
    first = list(_find_chains(found))
    yield from ([one] for one in first)
    shown = {one.id for one in first}
    rest = [one for one in found if one.id not in shown]
    if page.details or page.each:
        yield from ([one] for one in rest)
    else:
        yield from _group(page, rest, guilty)


def _find_chains(found: Sequence[Greenlet]) -> Iterator[Greenlet]:
    """Of each thread the greenlet that runs there, its parent, and so on down to the thread's main greenlet."""
    by_id = {one.id: one for one in found}
    seen: set[str] = set()
    for one in found:
        following: Greenlet | None = one if one.state == "running" else None
        while following is not None and following.id not in seen:
            seen.add(following.id)
            yield following
            following = by_id.get(following.parent or "")


def _group(page: Page, found: Sequence[Greenlet], guilty: Collection[str]) -> list[Group]:
    """Those of one type and state, at the same lines, or yet to run the same function; finished ones last."""
    groups: dict[object, Group] = {}
    for one in found:
        stack = tuple((frame.file, frame.line, frame.function) for frame in shown_frames(page, one.stack))
        run = (one.run.file, one.run.line, one.run.function) if one.run and not stack else None
        has_own = one.error or any(frame.locals for frame in one.stack)
        key = one.id if has_own else (one.type, one.state, one.thread, one.parent, stack, run, one.id in guilty)
        groups.setdefault(key, []).append(one)
    return sorted(groups.values(), key=lambda group: (group[0].state == "dead", -len(group)))


def _format_group(page: Page, words: Words, group: Group) -> Iterator[str]:
    example = group[0]
    yield from page.wrap(_title(words, group), hanging="  ", style=page.bold)
    yield from page.wrap(", ".join(_facts(words, example)), "  ", hanging="    ")
    for said in (words.describe_wait(example), *words.describe_holds(example)):
        if said:
            subject = f"{words.name(example)} " if len(group) > 1 else ""
            yield from page.wrap(f"{subject}{said}", "  ", hanging="    ")
    yield from _format_spawners(page, example.spawned_at)
    if example.state == "running":
        yield "  its stack is that of its thread, above" if example.thread else "  its thread has ended"
    else:
        yield from format_stack(page, example.stack)
    if example.native_stack and page.native != "none":
        yield page.dim("  Its C stack, which does not fit the Python one (innermost last):")
        yield from format_stack(page, example.native_stack)
    if example.error:
        yield from page.wrap(f"not all of it could be read: {example.error}", "  ", hanging="    ")


def _format_wakers(page: Page, hub: Hub) -> Iterator[str]:
    """What can wake somebody, one by one, where details are asked for."""
    for what, several in (("callback", hub.callbacks), ("timer", hub.timers), ("descriptor", hub.watchers)):
        for one in several if page.details else ():
            yield from page.wrap(f"{what}: {one}", "    ", hanging="      ")


def _title(words: Words, group: Group) -> str:
    state = STATES.get(group[0].state, "in no known state")
    if len(group) == 1:
        return f"Greenlet: {words.name(group[0])}, {state}"
    shown = ", ".join(words.name(one) for one in group[:FEW_NAMES])
    more = f" and {len(group) - FEW_NAMES} more" if len(group) > FEW_NAMES else ""
    return f"{len(group)} greenlets like this, {state}: {shown}{more} (--all shows each)"


def _facts(words: Words, greenlet: Greenlet) -> Iterator[str]:
    yield greenlet.type or "type not read"
    if not greenlet.is_main:
        yield f"in{words.in_thread(greenlet).removeprefix(' of')}" if words.in_thread(greenlet) else "of no thread"
        parent = words.name_parent(greenlet)
        if parent:
            yield f"parent: {parent}"
    if greenlet.run is not None:
        yield f"runs {_describe_run(greenlet.run)}"


def _describe_run(run: Frame) -> str:
    return f"{run.qualname or run.function} ({run.file}:{run.line})" if run.file else f"{run.function}"


def _format_spawners(page: Page, frames: Sequence[Frame]) -> Iterator[str]:
    shown = frames if page.details else frames[:FEW_SPAWNERS]
    for number, frame in enumerate(shown):
        word = "spawned at" if number == 0 else "called from"
        yield from page.wrap(f"{word} {frame.file}:{frame.line} in {frame.function}", "  ", hanging="    ")
