"""`lost-wakeup`: somebody waits for what is there: a lock that is free, an event that is set, a queue with items.

An event loop or a hub that sleeps although it has callbacks to call is the same: who gave them to it did not wake it.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import Actor, stand
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Certainty, Evidence, Finding, Greenlet, Hub, Loop, Object, Report, Thread, WaitsFor

CODE = "lost-wakeup"
LOCKS = ("lock", "rlock", "semaphore")
QUEUES = ("Queue", "LifoQueue", "PriorityQueue")  # a class made from one may count in its own way
FEW = 4
LONG = 1.0  # seconds that a thread has slept: one that was woken just now has not

EXPLANATION = (
    "What it waits for is there already, and it still sleeps: whoever gave it did not wake it, or woke nobody, and "
    "nobody will do so again before the next time, which may never come."
)
FIX = (
    "Find who gives it. Under gevent: a thread without a hub that releases a lock of gevent's may wake nobody (gevent "
    "26.9 does); give work of such threads a queue.SimpleQueue of the original module, or the hub's threadpool. With "
    "threads: what was interrupted between setting and notifying (an exception from a signal handler, a fork)."
)
LOOP_EXPLANATION = (
    "The event loop calls what it is given before it sleeps, so this came while it slept, and from elsewhere: another "
    "thread, mostly, that set a future's result or called call_soon. That wakes nobody; the loop will come to it when "
    "something else wakes it, or never."
)
HUB_EXPLANATION = (
    "The hub calls what it is given before it sleeps, so this came while it slept, and from elsewhere: another thread, "
    "mostly, that put something into a queue or set an event of gevent's. That wakes nobody; the hub will come to it "
    "when something else wakes it, or never."
)
HUB_FIX = (
    "gevent's objects belong to one hub. From another thread call them by the hub's loop.run_callback_threadsafe(...), "
    "or use an async watcher (loop.async_(), whose send() may be called from anywhere); let threads work by "
    "gevent.get_hub().threadpool."
)
LOOP_FIX = (
    "From other threads use loop.call_soon_threadsafe(future.set_result, value), or "
    "asyncio.run_coroutine_threadsafe(...): only these wake the loop. asyncio.run(debug=True) finds such calls."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each object that is there, and still waited for; and for each loop that sleeps over its work."""
    yield from _find_loops(report)
    yield from _find_hubs(report)
    graph = graph_of(report)
    busy = _find_busy(report)
    told: set[str] = set()
    for identity, edge in graph.waits.items():
        actor, found = graph.actors.by_id[identity], graph.actors.objects.get(edge.to)
        if found is None or found.id in told or actor.waits_for is None:
            continue
        state = _describe_state(found, actor.waits_for)
        is_quiet = busy.get(actor.moment, set()) <= {actor.id}
        if state and is_quiet and _is_asleep(report, actor):
            told.add(found.id)
            yield _make_finding(graph, actor, found, state)


def _describe_state(found: Object, wait: WaitsFor) -> str | None:
    """Why there is nothing to wait for; None where there is."""
    if found.kind in LOCKS and wait.kind == "lock" and found.locked is False:
        return "is free"
    if found.kind == "event" and wait.kind == "event" and found.count == 1:
        return "is set"
    if found.kind == "simple_queue" and found.count:
        return f"has {found.count} items"
    if found.kind == "queue" and (found.type or "").rpartition(".")[2] in QUEUES:
        return _describe_queue(found, wait)
    return None


def _describe_queue(found: Object, wait: WaitsFor) -> str | None:
    if wait.function == "get" and found.count:
        return f"has {found.count} items"
    if wait.function == "put" and found.count is not None and found.limit and found.count < found.limit:
        return f"has room: {found.count} items of at most {found.limit}"
    return "has no unfinished task" if wait.function == "join" and found.unfinished == 0 else None


def _is_asleep(report: Report, actor: Actor) -> bool:
    """Whether it is not about to go on; of a process that nobody lets run, nothing tells."""
    if graph_of(report).is_halted(actor):
        return False
    if isinstance(actor, Thread):
        return actor.state == "sleeping" and actor.consistent is not False and (actor.idle_s or 0.0) >= LONG
    hubs = [one for one in report.hubs if one.moment == actor.moment]
    quiet = [one for one in hubs if one.state == "polling" and one.complete and not one.counts.get("callbacks")]
    is_hubs = isinstance(actor, Greenlet) and any(one.thread == actor.thread for one in hubs)
    return is_hubs and len(quiet) == len(hubs)


def _find_busy(report: Report) -> dict[str, set[str]]:
    """By moment, the threads that run, or are about to run, Python: one may be in the middle of waking somebody."""
    busy: dict[str, set[str]] = {}
    for one in report.threads:
        if one.interpreter is not None and not _is_waiting(one):
            busy.setdefault(one.moment, set()).add(one.id)
    return busy


def _is_waiting(thread: Thread) -> bool:
    wait = thread.waits_for
    return wait is not None and wait.kind != "gil" and thread.consistent is not False and not thread.error


def _make_finding(graph: WaitGraph, actor: Actor, found: Object, state: str) -> Finding:
    name, what = graph.actors.name(actor.id), graph.actors.name(found.id)
    process = graph.actors.process(actor.id)
    return Finding(
        code=CODE,
        title=f"{name} waits for {what}, which {state}: it was not woken",
        certainty=_certainty(graph.report, actor),
        process=process.id if process else None,
        subjects=[graph.actors.subject(actor.id), graph.actors.subject(found.id)],
        evidence=[
            stand(actor, f"{name} {describe_activity(actor)}"),
            Evidence(text=f"{what} {state}", address=found.address, value=found.type),
            *_describe_quiet(graph.report, actor),
        ],
        explanation=EXPLANATION,
        fix=FIX,
    )


def _certainty(report: Report, actor: Actor) -> Certainty:
    whole = {one.id for one in report.moments if one.capture.complete}
    wait = actor.waits_for
    return "certain" if wait and wait.certainty == "certain" and actor.moment in whole else "likely"


def _describe_quiet(report: Report, actor: Actor) -> Iterator[Evidence]:
    if isinstance(actor, Thread):
        yield Evidence(text="it has not run for", value=f"{actor.idle_s or 0.0:.1f} s")
    else:
        yield Evidence(text="its hub polls, and has no callback to make")
    yield Evidence(text="no thread of the process runs that might be about to wake it")


def _find_loops(report: Report) -> Iterator[Finding]:
    graph = graph_of(report)
    for loop in report.loops:
        thread = graph.actors.by_id.get(loop.thread or "")
        has_work = loop.ready and not loop.task and not loop.error
        if has_work and isinstance(thread, Thread) and _polls(thread) and _is_asleep(report, thread):
            yield _tell_loop(graph, loop, thread)


def _polls(thread: Thread) -> bool:
    return thread.waits_for is not None and thread.waits_for.kind == "io"


def _tell_loop(graph: WaitGraph, loop: Loop, thread: Thread) -> Finding:
    name, process = graph.actors.name(thread.id), graph.actors.process(thread.id)
    tasks = [one for one in graph.report.tasks if one.loop == loop.id and one.state == "ready"]
    first = f", among them task {graph.actors.name(tasks[0].id)}'s next step" if tasks else ""
    about: list[Actor] = [*tasks[:FEW], thread]
    count = "1 callback" if loop.ready == 1 else f"{loop.ready} callbacks"
    return Finding(
        code=CODE,
        title=f"the event loop of {name} sleeps, and has {count} to call{first}: it was not woken",
        certainty=_certainty(graph.report, thread),
        process=process.id if process else None,
        subjects=[graph.actors.subject(one.id) for one in about],
        evidence=[
            stand(thread, f"{name} {describe_activity(thread)}"),
            Evidence(text="callbacks that the loop has ready to call", value=str(loop.ready), address=loop.address),
            *(stand(one, f"task {graph.actors.name(one.id)} is ready to go on") for one in tasks[:FEW]),
            Evidence(text="it has not run for", value=f"{thread.idle_s or 0.0:.1f} s"),
        ],
        explanation=LOOP_EXPLANATION,
        fix=LOOP_FIX,
    )


def _find_hubs(report: Report) -> Iterator[Finding]:
    graph = graph_of(report)
    for hub in report.hubs:
        thread = graph.actors.by_id.get(hub.thread or "")
        has_work = hub.state == "polling" and hub.complete and hub.counts.get("callbacks")
        if has_work and isinstance(thread, Thread) and _polls(thread) and _is_asleep(report, thread):
            yield _tell_hub(graph, hub, thread)


def _tell_hub(graph: WaitGraph, hub: Hub, thread: Thread) -> Finding:
    name, process = graph.actors.name(thread.id), graph.actors.process(thread.id)
    number = hub.counts["callbacks"]
    count = "1 callback" if number == 1 else f"{number} callbacks"
    waiting = [one for one in graph.report.greenlets if one.thread == hub.thread and one.waits_for and one.is_main]
    about: list[Actor] = [*waiting, thread]
    return Finding(
        code=CODE,
        title=f"the hub of {name} sleeps, and has {count} to call: it was not woken",
        certainty=_certainty(graph.report, thread),
        process=process.id if process else None,
        subjects=[graph.actors.subject(one.id) for one in about],
        evidence=[
            stand(thread, f"{name} {describe_activity(thread)}"),
            *(Evidence(text="callback that the hub has to call", value=one) for one in hub.callbacks[:FEW]),
            *(stand(one, f"{graph.actors.name(one.id)} {describe_activity(one)}") for one in waiting),
            Evidence(text="it has not run for", value=f"{thread.idle_s or 0.0:.1f} s"),
        ],
        explanation=HUB_EXPLANATION,
        fix=HUB_FIX,
    )
