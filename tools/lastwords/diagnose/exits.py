"""What holds up an exit: the threads that the main thread waits for on the interpreter's way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

import msgspec

from lastwords.diagnose.actors import Actor, actor_name, is_in, stand
from lastwords.diagnose.wait_graph import CERTAINTIES, Chain, WaitGraph, describe_steps, graph_of
from lastwords.model import Certainty, Evidence, Finding, Greenlet, Moment, Report, Thread

EXECUTOR = ("concurrent.futures.thread", "_python_exit")  # what ThreadPoolExecutor registers for the exit
PROCESS_EXECUTOR = ("concurrent.futures.process", "_python_exit")  # and ProcessPoolExecutor
CHILDREN = ("multiprocessing.util", "_exit_function")  # what multiprocessing does


class Exit(msgspec.Struct, frozen=True):
    """A moment in which the interpreter is on its way out and its main thread waits; `chain` begins with that wait.

    main: the main thread; its main greenlet, where the thread itself only runs the hub
    """

    moment: Moment
    main: Actor
    chain: Chain
    graph: WaitGraph

    @property
    def certainty(self) -> Certainty:
        """As certain as the least certain wait of the chain."""
        wait = self.main.waits_for
        certainties = [step.certainty for step in self.chain.steps] + [wait.certainty if wait else "certain"]
        certainties += ["likely"] if wait and wait.has_timeout else []
        return CERTAINTIES[max(CERTAINTIES.index(one) for one in certainties)]

    @property
    def joined(self) -> Thread | Greenlet | None:
        """The thread, or greenlet, whose end the main thread waits for."""
        wait = self.main.waits_for
        found = self.graph.actors.by_id.get(wait.target or "") if wait and wait.kind == "join" else None
        return found if isinstance(found, Thread | Greenlet) else None

    def is_in(self, *places: tuple[str, str]) -> bool:
        """Whether the main thread is in one of these functions of modules."""
        return any(is_in(self.main, *place) for place in places)

    def evidence(self) -> list[Evidence]:
        """The phase, the steps, and where the last one stands and what it does."""
        shutdown = self.moment.shutdown
        phase = Evidence(text="the interpreter is on its way out", value=shutdown.step if shutdown else None)
        steps = describe_steps(self.graph, self.chain.steps)
        end = self.graph.actors.by_id.get(self.chain.end)
        return [phase, *steps, *([describe_stand(end, len(self.chain.steps))] if end is not None else [])]


def tell_joined(one: Exit, joined: Actor, what: str, finding: Finding) -> Finding:
    """The finding with its title: the exit waits for a thread, and `what` that is; with whom it is about, and why."""
    name = one.graph.actors.name(joined.id)
    limit = _describe_limit(one.graph.report, joined)
    finding.title = f"the exit waits for {what} {name}, which {describe_activity(joined)}{limit}"
    finding.process = one.moment.process
    finding.subjects = [one.graph.actors.subject(joined.id), one.graph.actors.subject(one.main.id)]
    finding.evidence = one.evidence()
    return finding


def _describe_limit(report: Report, actor: Actor) -> str:
    """Of a wait that ends by itself, as a Timer's does: for how much longer, from the moment that the report shows."""
    until = actor.waits_for.until if actor.waits_for else None
    if until is None:
        return ""
    try:
        seconds = until - datetime.fromisoformat(report.captured_at).timestamp()
    except ValueError:  # a report that somebody has made
        return ""
    return f", for {format_seconds(seconds)} more" if seconds >= 1 else ""


def format_seconds(seconds: float) -> str:
    """`59 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def find_exits(report: Report) -> Iterator[Exit]:
    """The moments in which the main thread waits on its way out."""
    graph = graph_of(report)
    moments = {one.id: one for one in report.moments}
    for thread in report.threads:
        moment = moments.get(thread.moment)
        main = graph.past_hub(thread) if thread.is_main else thread
        if thread.is_main and main.waits_for is not None and moment is not None and is_leaving(moment):
            yield Exit(moment, main, graph.chain(main.id), graph)


def is_leaving(moment: Moment) -> bool:
    """Whether the program is done. Not where it was stopped as it dropped an exception: there it is held by us."""
    is_stop = moment.reason in ("unraisable", "fatal")
    return moment.shutdown is not None and moment.shutdown.phase == "shutdown" and not is_stop


def describe_activity(actor: Actor) -> str:
    """`waits: Queue.get: 0 items`, `reads from fd 5`, or `runs`."""
    wait = actor.waits_for
    if wait is None:
        return "is not there any more" if isinstance(actor, Thread) and actor.alive is False else "runs"
    what = wait.detail or wait.kind.replace("_", " ")
    if wait.kind == "io" and wait.call and re.match(rf"{wait.call}\b", what):  # select, poll: their names are no verbs
        return f"waits in {what}"
    if wait.kind in ("io", "sleep") and what.startswith("asyncio."):
        return f"waits in {what}"
    is_told = wait.detail and (wait.kind in ("io", "process", "sleep") or what.startswith(("waits ", "awaits ")))
    return what if is_told else f"waits: {what}"


def describe_stand(actor: Actor, depth: int = 0) -> Evidence:
    """Where it stands, and what it does there; `depth`: see Evidence."""
    return stand(actor, f"{actor_name(actor)} {describe_activity(actor)}", depth=depth)
