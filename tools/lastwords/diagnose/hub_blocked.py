"""`hub-blocked`: a greenlet, or a callback in the hub, sits in a native blocking call."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.hubs import find_blocked
from lastwords.diagnose.native_primitive import is_primitive
from lastwords.model import Finding, Report

CODE = "hub-blocked"

EXPLANATION = (
    "Greenlets take turns: each runs until it waits by way of gevent, whose hub then runs another. This one waits in "
    "the kernel, past gevent. The thread stands still as long as that lasts, and with it its hub, its timers and every "
    "other greenlet."
)
FIX = (
    "Call what gevent has patched or offers itself (gevent.sleep, gevent.socket, gevent.subprocess), patch before "
    "anything imports the original function, and hand what blocks in C to gevent.get_hub().threadpool.apply(...)."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each thread whose hub cannot run because of a call that only the kernel ends."""
    for one in find_blocked(report):
        is_round = bool(one.graph.chain(one.thread.id).cycle)  # lock-cycle
        if not is_primitive(one) and not is_round:
            yield Finding(
                code=CODE,
                title=one.title,
                certainty=one.certainty,
                process=one.process,
                subjects=one.subjects,
                evidence=one.evidence,
                explanation=EXPLANATION,
                fix=FIX,
            )
