"""`exit-waits-for-thread`: the program is done, and the interpreter waits for a thread that is not a daemon."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.exits import EXECUTOR, PROCESS_EXECUTOR, find_exits, tell_joined
from lastwords.model import Finding, Report, Thread

CODE = "exit-waits-for-thread"

EXPLANATION = (
    "Before a program ends, CPython joins every thread that is not a daemon (threading._shutdown), for as long as that "
    "takes. This one does not end."
)
FIX = (
    "Tell the thread to end before main does, and join it there: a sentinel in its queue, an Event that it asks for. "
    "Make it a daemon (daemon=True) only if it may be cut off at any line."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each process that waits so."""
    for one in find_exits(report):
        if one.joined is not None and not one.is_in(EXECUTOR, PROCESS_EXECUTOR) and not one.chain.cycle:
            found = Finding(code=CODE, title="", certainty=one.certainty, explanation=EXPLANATION, fix=FIX)
            what = "thread" if isinstance(one.joined, Thread) else "the thread that is"
            yield tell_joined(one, one.joined, what, found)
