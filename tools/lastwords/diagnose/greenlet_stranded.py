"""`greenlet-stranded`: greenlets wait for something that nothing left can give; gevent may have said so: LoopExit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from lastwords.diagnose.actors import is_library, stand
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.hubs import name_greenlet
from lastwords.diagnose.orphaned_lock import find_orphans
from lastwords.diagnose.thread_stranded import NO_HELP
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.frames import is_patchers
from lastwords.loop_exit import is_loop_exit
from lastwords.model import Caught, Evidence, Finding, Frame, Greenlet, Hub, Report, Subject, Thread

CODE = "greenlet-stranded"
TOLD = ("event", "queue", "condition")  # somebody has to tell it to go on
HELPFUL = NO_HELP | {"SIGCHLD"}  # libev's own handler, without a watcher, wakes nobody
FEW = 6

EXPLANATION = (
    "A greenlet waits, without a timeout, for something that another greenlet would have to set, put, notify or "
    "release. Those that are left sleep and know nothing of it; no socket, no callback and no other thread is there "
    "that could."
)
EXIT_EXPLANATION = (
    "gevent raises LoopExit in the main greenlet when its loop has nothing left to wait for: no timer, no watcher, no "
    "callback. Whoever was to wake the greenlets that still wait has ended without."
)
FIX = (
    "Find who was to set, put, notify or release, and why it ended without: an exception that was caught, or printed, "
    "on its way. Do it in `finally`, wait for the greenlet's end as well (gevent.joinall hands exceptions over with "
    "raise_error=True), or wait with a timeout."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each hub with such greenlets, and for each LoopExit that ended something."""
    graph = graph_of(report)
    for caught in report.exceptions:
        if is_loop_exit(caught):
            yield _tell_exit(graph, caught, [one for one in report.greenlets if _is_left(one, caught)])
    for hub in report.hubs:
        stranded = list(_find_stranded(report, graph, hub))
        if stranded:
            yield _tell_stranded(graph, stranded)


def _find_stranded(report: Report, graph: WaitGraph, hub: Hub) -> Iterator[Greenlet]:
    thread = graph.actors.by_id.get(hub.thread or "")
    if not isinstance(thread, Thread) or not graph.judges(thread) or not _is_alone(report, graph, hub, thread):
        return
    others = [one for one in report.greenlets if one.thread == hub.thread and one.id != hub.greenlet]
    if all(_is_parked(one) for one in others if one.state != "dead"):
        left = _without_helpers(report, {one.id: one for one in others if _is_waiting(one)})
        told = {one.lock.id for one in find_orphans(graph)}  # orphaned-lock
        yield from (one for one in left if _is_told(one, told) and graph.step(one.id) is None)


def _is_waiting(one: Greenlet) -> bool:
    """Whether somebody would have to end, or to tell it to go on."""
    wait = one.waits_for
    is_join = wait is not None and wait.kind == "join" and not wait.has_timeout
    return _is_told(one) or is_join


def _is_told(one: Greenlet, but: Collection[str] = ()) -> bool:
    """Whether somebody would have to tell it to go on, for certain, by another object than these."""
    wait = one.waits_for
    if wait is None or wait.has_timeout or wait.certainty != "certain" or wait.target is None:
        return False
    return wait.kind in (*TOLD, "lock") and wait.target not in but


def _without_helpers(report: Report, found: dict[str, Greenlet]) -> Iterator[Greenlet]:
    """Those of them for whom nobody is left: who could help waits so, too, for another of them."""
    known: dict[str, set[str]] = {}  # who knows, or has, an object; whose end a greenlet waits for
    for edge in report.edges:
        if edge.kind in ("may_wake", "holds"):
            known.setdefault(edge.to, set()).add(edge.origin)
    helpers = {name: _find_helpers(known, one) for name, one in found.items()}
    while found:
        left = {name: one for name, one in found.items() if helpers[name] <= found.keys()}
        if len(left) == len(found):
            break
        found = left
    yield from found.values()


def _find_helpers(known: dict[str, set[str]], one: Greenlet) -> set[str]:
    """Who could; of a join the greenlets that have to end, and an unknown one ("") where these are not told."""
    target = one.waits_for.target if one.waits_for else None
    if one.waits_for is None or one.waits_for.kind != "join":
        return known.get(target or "", set())
    return known.get(one.id, {""}) if target is None else known.get(target, {target})


def _is_alone(report: Report, graph: WaitGraph, hub: Hub, thread: Thread) -> bool:
    """Whether nothing but timers of sleeping greenlets will make the hub turn."""
    process = graph.actors.process(thread.id)
    is_read = hub.state == "polling" and hub.complete and hub.searched
    is_quiet = not hub.others and not hub.counts.get("watchers") and not hub.counts.get("callbacks")
    sleepers = sum(one.waits_for is not None and one.waits_for.has_timeout for one in report.greenlets)
    caught = process.signals_caught if process else None
    is_handled = bool(hub.signals or (process and process.signals_handled))
    is_deaf = caught is not None and HELPFUL.issuperset(caught) and not is_handled
    is_single = sum(one.moment == thread.moment for one in report.threads) == 1
    return is_read and is_quiet and is_deaf and is_single and hub.counts.get("timers", 0) <= sleepers


def _is_parked(one: Greenlet) -> bool:
    """Whether it is known what it waits for, and that it is nothing from outside."""
    wait = one.waits_for
    is_known = wait is not None and wait.kind in (*TOLD, "lock", "join", "sleep") and not one.error
    return one.state == "suspended" and is_known


def _tell_stranded(graph: WaitGraph, stranded: list[Greenlet]) -> Finding:
    first = next((one for one in stranded if one.is_main), stranded[0])
    process = graph.actors.process(first.id)
    more = f", and so do {len(stranded) - 1} more" if len(stranded) > 1 else ""
    return Finding(
        code=CODE,
        title=f"nothing is left that could wake {name_greenlet(first)}: it {describe_activity(first)}{more}",
        certainty="likely",
        process=process.id if process else None,
        subjects=[graph.actors.subject(one.id) for one in stranded[:FEW]],
        evidence=[
            *(stand(one, f"{name_greenlet(one)} {describe_activity(one)}") for one in stranded[:FEW]),
            Evidence(text="the other greenlets sleep, and none of their variables leads to what it waits for"),
            Evidence(text="the hub has no watcher and no callback, and the process no other thread"),
        ],
        explanation=EXPLANATION,
        fix=FIX,
    )


def _is_left(one: Greenlet, caught: Caught) -> bool:
    """Whether it still waits, at the moment of a LoopExit, for what somebody would have to tell it."""
    wait = one.waits_for
    is_told = wait is not None and wait.kind in TOLD and not wait.has_timeout
    return one.moment == caught.moment and one.state == "suspended" and is_told


def _tell_exit(graph: WaitGraph, caught: Caught, left: Sequence[Greenlet]) -> Finding:
    """Where the main greenlet itself waits is of no use where it only ends, in code that is not the program's."""
    traceback = caught.exception.traceback if caught.exception else []
    frames = [one for one in traceback if one.kind == "python" and not is_patchers(one)]
    at = next((one for one in frames if not is_library(one)), next(iter(frames), Frame(kind="python")))
    where = f" at {at.file}:{at.line}" if at.file else ""
    title = f"{at.function or 'the main greenlet'} waits{where} for what nothing is left to give: LoopExit"
    if left and is_library(at):
        title = f"nothing is left that could wake {name_greenlet(left[0])}: it {describe_activity(left[0])}: LoopExit"
    kind = caught.exception.type if caught.exception else None
    subject = Subject(kind="exception", name=kind or "LoopExit", id=caught.id, file=at.file, line=at.line)
    others = [graph.actors.subject(one.id) for one in left[:FEW]]
    return Finding(
        code=CODE,
        title=title,
        certainty="certain",
        process=caught.process,
        subjects=[*others, subject] if is_library(at) else [subject, *others],
        evidence=[
            Evidence(text="gevent's loop had nothing left to do and raised", value=kind),
            Evidence(text="in", file=at.file, line=at.line, value=at.source),
            *(stand(one, f"{name_greenlet(one)} {describe_activity(one)}") for one in left[:FEW]),
        ],
        explanation=EXIT_EXPLANATION,
        fix=FIX,
    )
