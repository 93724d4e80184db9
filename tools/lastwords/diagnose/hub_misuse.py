"""`hub-misuse`: a blocking call in the hub, or a hub's objects used from another thread.

gevent itself finds it and raises; what it raises is told by its type, or by the function of gevent's that raised it.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.frames import is_patchers
from lastwords.model import Caught, Evidence, Finding, Frame, Report, Subject

CODE = "hub-misuse"
BLOCKING = ("gevent.exceptions.BlockingSwitchOutError", "gevent.hub.BlockingSwitchOutError")
FOREIGN = ("gevent.exceptions.InvalidThreadUseError", "gevent.hub.InvalidThreadUseError")
# Before gevent 1.3 it is an AssertionError of the hub's own method.
RAISERS = ("switch_out",)
RAISER_MODULES = ("gevent.hub", "gevent._hub_primitives", "gevent._greenlet_primitives")

EXPLANATION = (
    "The hub runs callbacks, signal handlers and finalizers between the turns of greenlets. Waiting by way of gevent "
    "means to switch to the hub; in the hub itself there is nobody to switch to, so gevent raises instead, and the "
    "rest of the function does not run."
)
FOREIGN_EXPLANATION = (
    "A hub, its loop and what belongs to them may be used by their own thread alone. Another thread did so, and gevent "
    "raised in it."
)
FIX = (
    "Start a greenlet there instead of waiting: gevent.spawn(function); link() instead of rawlink(); "
    "gevent.signal_handler(...) instead of signal.signal(...)."
)
FOREIGN_FIX = (
    "Hand work to the other thread's hub by loop.run_callback_threadsafe(...) or an async watcher, and results by the "
    "threadpool; make locks, events and queues in the thread whose greenlets use them."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each exception by which gevent refused such a use."""
    for caught in report.exceptions:
        kind = caught.exception.type if caught.exception else None
        is_foreign = kind in FOREIGN
        if is_foreign or kind in BLOCKING or _is_from_hub(caught):
            yield _make_finding(caught, is_foreign=is_foreign)


def _is_from_hub(caught: Caught) -> bool:
    inner = next(iter(_traceback(caught)), None)
    return inner is not None and inner.function in RAISERS and inner.module in RAISER_MODULES


def _traceback(caught: Caught) -> list[Frame]:
    return [one for one in caught.exception.traceback if one.kind == "python"] if caught.exception else []


def _make_finding(caught: Caught, *, is_foreign: bool) -> Finding:
    at = next((one for one in _traceback(caught) if not is_patchers(one)), None) or Frame(kind="python")
    where = f" at {at.file}:{at.line}" if at.file else ""
    what = "uses another thread's hub" if is_foreign else "waits in the hub itself"
    kind = caught.exception.type if caught.exception else None
    return Finding(
        code=CODE,
        title=f"{at.function or 'a function'} {what}{where}, which gevent refuses",
        certainty="certain" if kind in BLOCKING + FOREIGN else "likely",
        process=caught.process,
        subjects=[
            Subject(kind="exception", name=kind or "an exception", id=caught.id, file=at.file, line=at.line),
        ],
        evidence=[
            Evidence(text="gevent raised", file=at.file, line=at.line, value=kind),
            Evidence(text="by", value=at.source),
        ],
        explanation=FOREIGN_EXPLANATION if is_foreign else EXPLANATION,
        fix=FOREIGN_FIX if is_foreign else FIX,
    )
