"""One moment's threads as text: what each waits for and holds, its stack, its locals where they were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

from lastwords.frames import python_frames
from lastwords.model import Edge, Greenlet, Moment, Object, Report, Task, Thread, WaitsFor
from lastwords.report.exceptions import describe_exception
from lastwords.report.folding import format_folded, place_of, split
from lastwords.report.layout import Page, format_number
from lastwords.report.stacks import count_folded, format_stack

FEW_NAMES = 8


def format_moment(page: Page, report: Report, moment: Moment, guilty: Mapping[str, int]) -> Iterator[str]:
    """The threads of the moment, those that do the same told once; where some are guilty, these, and others folded."""
    threads = [thread for thread in report.threads if thread.moment == moment.id]
    groups = [[thread] for thread in threads] if page.details or page.each else _group(page, report, threads, guilty)
    first, rest = split(page, groups, guilty)
    number = 1
    for group in first:
        yield ""
        yield from page.wrap(_group_title(group, number, len(threads)), hanging="  ", style=page.bold)
        yield from _format_thread(page, report, group[0], is_alone=len(group) == 1)
        number += len(group)
    yield from format_folded(page, "thread", rest, partial(_in_one_line, report), bool(first))
    shown = [thread for group in first for thread in group]
    folded = sum(count_folded(page, [*thread.stack, *(thread.native_stack or [])]) for thread in shown)
    if folded:
        yield ""
        count = "1 C frame" if folded == 1 else f"{folded} C frames"
        text = f"Without {count} of the interpreter's and the C library's own machinery (--native=all shows all)"
        yield from page.wrap(text, hanging="  ", style=page.dim)


def _in_one_line(report: Report, thread: Thread) -> str:
    return f"{thread_name(thread)}: {_activity(report, thread)}{place_of(thread.stack) if thread.waits_for else ''}"


def _group(page: Page, report: Report, threads: list[Thread], guilty: Mapping[str, int]) -> list[list[Thread]]:
    """Threads that stand at the same lines of what is shown, wait for and hold the same kind of things, together.

    Not the addresses of these things: they are each thread's own.
    """
    groups: dict[object, list[Thread]] = {}
    objects = {one.id: one for one in report.objects}
    for thread in threads:
        has_own = thread.is_main or any(frame.locals for frame in thread.stack)
        same = (tuple(_format_stacks(page, thread)), what_it_does(thread, objects), thread.id in guilty, thread.error)
        groups.setdefault(thread.id if has_own else same, []).append(thread)
    return list(groups.values())


def what_it_does(thread: Thread, objects: Mapping[str, Object]) -> object:
    """The same for two threads that do the same, but for where they stand."""
    wait = thread.waits_for
    names = [objects[one] for one in ([wait.target] if wait and wait.target else []) + thread.holds if one in objects]
    return (
        (wait.kind, wait.call, wait.certainty) if wait else thread.state,
        tuple((one.kind, one.name) for one in names),
        tuple(describe_exception(one) for one in (thread.handled, thread.pending) if one),
        (thread.is_main, thread.daemon, thread.finishing, thread.holds_gil),
    )


def _group_title(group: list[Thread], number: int, count: int) -> str:
    if len(group) == 1:
        return _title(group[0], number, count)
    names = [thread_name(thread) for thread in group]
    shown = ", ".join(names[:FEW_NAMES]) + (f" and {len(names) - FEW_NAMES} more" if len(names) > FEW_NAMES else "")
    return f"Threads {number} to {number + len(group) - 1} of {count}, all like this: {shown} (--all shows each)"


def format_headline(report: Report) -> str | None:
    """One line for a moment nobody has judged yet: where its main thread is. None without a thread."""
    moment = report.moments[0] if report.moments else None
    threads = [thread for thread in report.threads if moment and thread.moment == moment.id]
    if moment is None or not threads:
        return None
    thread = next((one for one in threads if one.is_main), threads[0])
    process = next((one for one in report.processes if one.id == moment.process), None)
    of_process = f" of process {process.pid}" if process and len(report.processes) > 1 else ""
    return f"{thread_name(thread)}{of_process} {_activity(report, thread)}{_phase(moment)}"


def _phase(moment: Moment) -> str:
    shutdown = moment.shutdown
    if shutdown is None or shutdown.phase == "running":
        return ""
    if shutdown.phase == "finalizing":
        return "; the interpreter takes itself apart"
    return f"; the interpreter shuts down{f', in {shutdown.step}' if shutdown.step else ''}"


def _activity(report: Report, thread: Thread) -> str:
    if thread.waits_for is not None:
        return describe_wait(report, thread)
    frame = next(iter(python_frames(thread.stack)), None)
    at = f": {frame.file}:{frame.line} in {frame.function}" if frame else ""
    return f"{'is not there any more' if thread.alive is False else 'runs'}{at}"


def thread_name(thread: Thread) -> str:
    """`worker-1`, or `thread 1234` where it has no name."""
    return thread.name or f"thread {thread.tid or thread.ident}"


def _title(thread: Thread, number: int, count: int) -> str:
    facts = [
        format_number("tid", thread.tid, thread.ns_tid) if thread.tid else "no thread of the kernel's",
        "main" if thread.is_main and thread.name != "MainThread" else "",
        "daemon" if thread.daemon else "",
        f"interpreter {thread.interpreter}" if thread.interpreter else "",
        "no Python thread" if thread.interpreter is None else "",
        "holds the GIL" if thread.holds_gil else "",
        "finishing" if thread.finishing else "",
        thread.state or "",
        "may have run while it was read" if thread.consistent is False else "",
    ]
    return f"Thread {number} of {count}: {thread_name(thread)} ({', '.join(filter(None, facts))})"


def _format_thread(page: Page, report: Report, thread: Thread, is_alone: bool = True) -> Iterator[str]:
    if thread.waits_for is not None:
        example = "" if is_alone else f"{thread_name(thread)} "
        yield from page.wrap(f"{example}{describe_wait(report, thread)}", "  ", hanging="    ")
    for edge in report.edges:
        if edge.origin == thread.id and edge.kind == "holds":
            yield from page.wrap(_describe_hold(report, edge), "  ", hanging="    ")
    for what, exception in (("handles", thread.handled), ("is about to raise", thread.pending)):
        if exception is not None:
            yield from page.wrap(f"{what} {describe_exception(exception)}", "  ", hanging="    ")
    yield from _format_stacks(page, thread)
    if thread.error:
        yield from page.wrap(f"not all of it could be read: {thread.error}", "  ", hanging="    ")


def _format_stacks(page: Page, thread: Thread) -> Iterator[str]:
    yield from format_stack(page, thread.stack)
    if thread.native_stack and page.native != "none":
        yield page.dim("  Its C stack, which does not fit the Python one (innermost last):")
        yield from format_stack(page, thread.native_stack)


def describe_wait(report: Report, thread: Thread) -> str:
    """What the thread waits for, in one sentence without its subject."""
    wait = thread.waits_for
    if wait is None:
        return "waits for nothing"
    facts = [
        _awaited(report, wait),
        f"until {format_time(wait.until)}" if wait.until and wait.target else "",  # else the detail has it
        _holder(report, thread, wait.target),
        "" if wait.certainty == "certain" else wait.certainty,
    ]
    return ", ".join(filter(None, facts))


def say_wait(wait: WaitsFor) -> str:
    """What the detail says of a wait, or its kind."""
    if not wait.detail:
        return f"waits ({wait.kind.replace('_', ' ')})"
    return wait.detail if wait.detail.startswith("waits ") else f"waits: {wait.detail}"


def _awaited(report: Report, wait: WaitsFor) -> str:
    target = describe_target(report, wait.target) if wait.kind not in ("process", "io") else ""  # detail names it
    if not target:
        return say_wait(wait)
    what = f"waits for the {'join of ' if wait.kind == 'join' else ''}{target}"
    says_more = wait.detail is not None and ": " in wait.detail and wait.kind != "join"
    return f"{what} ({wait.detail})" if says_more else what


def _holder(report: Report, waiter: Thread, target: str | None) -> str:
    holders = [edge for edge in report.edges if edge.kind == "holds" and edge.to == target and target]
    names = [
        f"{'the thread itself' if edge.origin == waiter.id else _name_of(report, edge.origin)} ({edge.certainty})"
        for edge in holders
    ]
    return f"held by {' or '.join(names)}" if names else ""


def _name_of(report: Report, identity: str) -> str:
    found = next((one for one in list_actors(report) if one.id == identity), None)
    return actor_name(found) if found else identity


def list_actors(report: Report) -> list[Thread | Greenlet | Task]:
    """Whoever may hold something."""
    return [*report.threads, *report.greenlets, *report.tasks]


def actor_name(actor: Thread | Greenlet | Task) -> str:
    """`worker-1`, `Task-2`, `greenlet at 0x7f...`."""
    if isinstance(actor, Thread):
        return thread_name(actor)
    return actor.name or f"{'greenlet' if isinstance(actor, Greenlet) else 'task'} at {actor.address or 0:#x}"


def _describe_hold(report: Report, edge: Edge) -> str:
    return f"holds the {describe_target(report, edge.to)} ({edge.certainty}): {edge.evidence or 'no evidence kept'}"


def describe_target(report: Report, identity: str | None) -> str:
    """`lock self._lock at 0x7f...`, or a thread's name, by its id."""
    found = next((one for one in report.objects if one.id == identity), None)
    if found is not None:
        return describe_object(found)
    return _name_of(report, identity) if identity else ""


def describe_object(found: Object) -> str:
    """`lock self._lock at 0x7f...`."""
    name = f" {found.name}" if found.name else ""
    at = f" at {found.address:#x}" if found.address is not None else ""
    gone = ", whose owner no longer exists" if found.owner_ident and found.owner is None else ""
    return f"{found.kind.replace('_', ' ')}{name}{at}{gone}"


def format_time(epoch: float) -> str:
    """Local time of day, to the second; with the day where it is not today; the number where no calendar has it."""
    try:
        moment = datetime.fromtimestamp(epoch).astimezone()
    except (OverflowError, ValueError, OSError):
        return f"second {epoch:.4g} of the epoch"
    today = datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M:%S")
