"""`exit-waits-for-executor`: the interpreter waits for a worker of a ThreadPoolExecutor."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.exits import EXECUTOR, find_exits, tell_joined
from lastwords.model import Finding, Report

CODE = "exit-waits-for-executor"

EXPLANATION = (
    "On its way out CPython joins the workers of every ThreadPoolExecutor, after they have done all work that was "
    "submitted (concurrent.futures.thread._python_exit). This worker does not come to an end. That the workers are "
    "daemon threads, on CPython 3.8 and older, makes no difference."
)
FIX = (
    "Give the work a timeout, or a way to be told to stop, and call executor.shutdown(cancel_futures=True) before main "
    "ends. What must happen before the join belongs before the end of main: atexit callbacks run after it."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each process that waits so."""
    for one in find_exits(report):
        if one.joined is not None and one.is_in(EXECUTOR) and not one.chain.cycle:
            found = Finding(code=CODE, title="", certainty=one.certainty, explanation=EXPLANATION, fix=FIX)
            yield tell_joined(one, one.joined, "the executor's worker", found)
