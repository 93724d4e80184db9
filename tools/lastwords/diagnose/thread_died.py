"""`thread-died`: others wait for what a thread was to do that has ended, by an exception or without having done it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.diagnose.actors import stand
from lastwords.diagnose.caught import basic_evidence, place, raised_at, subjects, type_name
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.thread_stranded import find_stranded
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Caught, Certainty, Evidence, Finding, Moment, Object, Report, Thread

CODE = "thread-died"

EXPLANATION = (
    "An exception that nothing in a thread catches ends that thread alone: it goes to stderr, and the program runs on. "
    "What the thread had still to do is never done, and whoever waits for it waits for ever."
)
FIX = (
    "Do what others wait for in `finally` (set the event, put the result or a sentinel, call task_done), or hand the "
    "work to a concurrent.futures executor: whoever asks for the result gets the exception."
)
QUEUE_EXPLANATION = (
    "Queue.join waits until each item that was put has been reported as done. These were taken from the queue and "
    "never reported, and no thread is left that could: whoever took them has ended, perhaps by an exception, or "
    "forgot."
)


class Death(msgspec.Struct, frozen=True):
    """The exception that ended a thread, and who waits for what that thread knew."""

    caught: Caught
    waiter: Thread
    found: Object
    certainty: Certainty


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each moment whose threads all wait, and for which a thread is known to have ended too early."""
    graph = graph_of(report)
    for one in find_stranded(report):
        waits = list(_find_waits(graph, one.threads))
        death = next(_find_deaths(report, one.moment, waits, is_certain=one.certainty == "certain"), None)
        if death is not None:
            yield _tell_death(graph, death)
            continue
        for thread, found in waits:
            if _is_unfinished(thread, found):
                yield _tell_queue(report, graph, thread, found)


def _find_waits(graph: WaitGraph, threads: list[Thread]) -> Iterator[tuple[Thread, Object]]:
    for thread in threads:
        found = graph.actors.objects.get(thread.waits_for.target or "") if thread.waits_for else None
        if found is not None:
            yield thread, found


def _find_deaths(
    report: Report, moment: Moment, waits: list[tuple[Thread, Object]], *, is_certain: bool
) -> Iterator[Death]:
    """Certain where the dead thread called it by the same name, too: an address may have been given out again."""
    for caught in report.exceptions:
        if caught.how == "thread" and caught.process == moment.process:
            knew = {one.address: one for one in caught.knew}
            for waiter, found in waits:
                known = knew.get(found.address or 0)
                if known is not None and known.kind == found.kind:
                    is_same = is_certain and known.name == found.name
                    yield Death(caught, waiter, found, "certain" if is_same else "likely")


def _tell_death(graph: WaitGraph, death: Death) -> Finding:
    caught, waiter, found = death.caught, death.waiter, death.found
    dead = graph.actors.by_id.get(caught.thread or "")
    who, what = f"thread {dead.name}" if dead and dead.name else "a thread", graph.actors.name(found.id)
    name, kind = graph.actors.name(waiter.id), type_name(caught.exception) or "an exception"
    return Finding(
        code=CODE,
        title=f"{who} died of {kind} at {place(raised_at(caught))}, and {name} waits for {what}, which it knew",
        certainty=death.certainty,
        process=caught.process,
        subjects=[*subjects(caught), graph.actors.subject(waiter.id), graph.actors.subject(found.id)],
        evidence=[
            *basic_evidence(caught)[:1],
            stand(waiter, f"{name} {describe_activity(waiter)}", found.address),
            Evidence(text=f"the code of the dead thread names {what}", address=found.address, value=found.type),
            Evidence(text="no other thread is left that could wake anybody"),
        ],
        explanation=EXPLANATION,
        fix=FIX,
    )


def _is_unfinished(thread: Thread, found: Object) -> bool:
    """Whether it waits in Queue.join for items that somebody has taken."""
    is_join = thread.waits_for is not None and thread.waits_for.function == "join"
    return is_join and found.kind == "queue" and (found.unfinished or 0) > (found.count or 0)


def _tell_queue(report: Report, graph: WaitGraph, thread: Thread, found: Object) -> Finding:
    name, what = graph.actors.name(thread.id), graph.actors.name(found.id)
    taken = (found.unfinished or 0) - (found.count or 0)
    process = graph.actors.process(thread.id)
    ended = [one for state in report.threading if state.moment == thread.moment for one in state.ended]
    return Finding(
        code=CODE,
        title=f"{name} waits for {taken} items of {what} that were taken and never done; whoever took them is gone",
        certainty="likely",
        process=process.id if process else None,
        subjects=[graph.actors.subject(thread.id), graph.actors.subject(found.id)],
        evidence=[
            stand(thread, f"{name} {describe_activity(thread)}", found.address),
            Evidence(text=f"{found.unfinished} unfinished tasks, {found.count} items in it", address=found.address),
            *([Evidence(text="threads that have ended", value=", ".join(ended))] if ended else []),
            Evidence(text="no other thread is left that could call task_done"),
        ],
        explanation=QUEUE_EXPLANATION,
        fix=FIX,
    )
