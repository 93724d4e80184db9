"""`exit-waits-for-process`: multiprocessing waits, on the way out, for a child or for the thread that feeds a queue."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.exits import CHILDREN, Exit, find_exits, tell_joined
from lastwords.model import Evidence, Finding, Report, WaitsFor

CODE = "exit-waits-for-process"
FEEDER = ("multiprocessing.queues", "_finalize_join")

CHILD_EXPLANATION = (
    "On its way out multiprocessing joins every child that is not a daemon (multiprocessing.util._exit_function). This "
    "one does not end."
)
FEEDER_EXPLANATION = (
    "On its way out multiprocessing joins the thread that writes what was put into a Queue to its pipe. The pipe is "
    "full, and nobody reads it any more."
)
CHILD_FIX = (
    "Tell the child to end, and join it, before main ends; or start it with daemon=True, if it may be terminated."
)
FEEDER_FIX = (
    "Read the queue to its end before its writer is joined; or call queue.cancel_join_thread() where what is still in "
    "it may be lost."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each process that waits so."""
    for one in find_exits(report):
        wait = one.main.waits_for
        if wait is not None and wait.kind == "process" and one.is_in(CHILDREN):
            yield _child(one, wait)
        elif one.joined is not None and one.is_in(FEEDER):
            found = Finding(
                code=CODE, title="", certainty=one.certainty, explanation=FEEDER_EXPLANATION, fix=FEEDER_FIX
            )
            yield tell_joined(one, one.joined, "the queue's feeder thread", found)


def _child(one: Exit, wait: WaitsFor) -> Finding:
    what = wait.detail or "waits for the end of a child"
    return Finding(
        code=CODE,
        title=f"the exit {what}",
        certainty=one.certainty,
        process=one.moment.process,
        subjects=[one.graph.actors.subject(one.main.id)],
        evidence=[*one.evidence(), Evidence(text=f"system call {wait.call}", value=what)],
        explanation=CHILD_EXPLANATION,
        fix=CHILD_FIX,
    )
