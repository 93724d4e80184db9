"""`exit-callback-blocked`: an atexit callback waits, and the exit with it."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.exits import CHILDREN, EXECUTOR, PROCESS_EXECUTOR, Exit, describe_activity, find_exits
from lastwords.diagnose.wait_graph import describe_wait
from lastwords.model import Finding, Report

CODE = "exit-callback-blocked"

EXPLANATION = (
    "The program is done, and CPython runs the callbacks that were registered with atexit, one after the other. This "
    "one waits for something. Threads that are not daemons have been joined by now, and daemons may be gone soon."
)
FIX = "Do at the end of main what may take long; give what is left in the callback a timeout."


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each process that waits so, and of which no finding says better what it is."""
    for one in find_exits(report):
        shutdown, ours = one.moment.shutdown, one.is_in(CHILDREN, EXECUTOR, PROCESS_EXECUTOR)
        if shutdown and shutdown.step == "atexit" and not ours and not one.chain.cycle:
            yield _make_finding(one)


def _describe(one: Exit) -> str:
    """What it waits for; and who has that, and what that one does."""
    holder = one.graph.actors.by_id.get(one.chain.end)
    if not one.chain.steps or holder is None:
        return describe_activity(one.main)
    through = ", which in the end waits for" if len(one.chain.steps) > 1 else ", which"
    last = f" {one.graph.actors.name(holder.id)}, which" if len(one.chain.steps) > 1 else ""
    return f"{describe_wait(one.graph, one.chain.steps[0])}{through}{last} {describe_activity(holder)}"


def _make_finding(one: Exit) -> Finding:
    outermost = next((frame for frame in reversed(one.main.stack) if frame.kind == "python"), None)
    name = outermost.qualname or outermost.function if outermost else "a callback"
    return Finding(
        code=CODE,
        title=f"the exit waits in the atexit callback {name}: it {_describe(one)}",
        certainty=one.certainty,
        process=one.moment.process,
        subjects=[one.graph.actors.subject(one.main.id)],
        evidence=one.evidence(),
        explanation=EXPLANATION,
        fix=FIX,
    )
