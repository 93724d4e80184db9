"""`native-primitive-under-gevent`: a greenlet waits for a lock, event or queue that gevent does not know."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.hubs import Blocked, find_blocked
from lastwords.model import Finding, Report, Thread

CODE = "native-primitive-under-gevent"
INSIDE = ("lock", "event", "queue", "condition", "import_lock")  # what somebody in the program has to give

EXPLANATION = (
    "The lock (or what is built on it) is the operating system's, made before gevent's patch or by code that the patch "
    "does not reach (multiprocessing, C extensions). Who waits for it stops the whole thread, its hub and every other "
    "greenlet, also the one that would give it."
)
FIX = (
    "Call gevent.monkey.patch_all() before anything else is imported, so that locks and queues are made after it; or "
    "make this one by gevent.lock, gevent.event or gevent.queue. Between threads use gevent's threadpool or an async "
    "watcher; between processes wait in a native thread."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each thread whose hub cannot run because a greenlet waits for something native."""
    for one in find_blocked(report):
        if is_primitive(one):
            target = one.wait.target
            yield Finding(
                code=CODE,
                title=one.title,
                certainty=one.certainty,
                process=one.process,
                subjects=[*one.subjects, *([one.graph.actors.subject(target)] if target else [])],
                evidence=one.evidence,
                explanation=EXPLANATION,
                fix=FIX,
            )


def is_primitive(one: Blocked) -> bool:
    """Whether it waits for what another greenlet may have to give: not for what another thread is known to hold."""
    holds = one.graph.holds.get(one.wait.target or "", [])
    return one.wait.kind in INSIDE and not any(
        isinstance(one.graph.actors.by_id.get(hold.origin), Thread) and hold.origin != one.thread.id for hold in holds
    )
