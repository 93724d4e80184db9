"""`monkey-patch-order` of a moment, without a record of imports: what shows still that gevent's patch came late.

A thread that was started before the patch is in `threading._active` under its native ident, where none is put since.
A module that was imported before may have kept what gevent replaced. A native lock was made before, or on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import own_line, stand
from lastwords.diagnose.exits import describe_activity
from lastwords.diagnose.hubs import Blocked, find_blocked
from lastwords.model import ActiveThread, Evidence, Finding, Kept, Process, Report, ThreadingState

CODE = "monkey-patch-order"
NATIVE = ("_thread.lock", "thread.lock", "_thread.RLock", "threading._RLock", "threading.RLock")
THREADING = {"threading", "_thread", "thread"}
# From which modules is what waits so.
WAITS = {
    "sleep": ("time",),
    "io": ("socket", "_socket", "ssl", "select", "os"),
    "process": ("os", "subprocess"),
}
REGISTERED = ("threading.Thread", "threading._MainThread")
FEW = 6

LOCK_EXPLANATION = (
    "gevent has patched threading, so that locks made since are its own. This one is native: it was made before the "
    "patch, or with what somebody kept from before. A greenlet that waits for it stops its whole thread."
)
KEPT_EXPLANATION = (
    "gevent has replaced this function in its own module, but whoever imported it from there before the patch has kept "
    "the native one, which stops the whole thread and all its greenlets."
)
THREAD_EXPLANATION = (
    "Threads that are started after gevent's patch are registered under the id of their greenlet. This one is "
    "registered under its native ident: threading knows it by a name under which nobody looks for it any more. When it "
    "ends, CPython 3.11 and newer print a KeyError, and it stays in threading.enumerate() for ever."
)
REFERENCES = ["https://www.gevent.org/api/gevent.monkey.html"]


def find_late(report: Report, fix: str) -> Iterator[Finding]:
    """For each process the one finding that says most. How it would be with the patch first is not known."""
    moments = {one.id: one for one in report.moments if one.reason in ("attach", "core", "hang")}
    processes = {one.id: one for one in report.processes}
    told: set[str] = set()
    for one in find_blocked(report):
        process = processes.get(one.process or "")
        finding = _judge_blocked(one, process) if process and one.thread.moment in moments else None
        if finding is not None:
            told.add(finding.process or "")
            finding.fix = fix
            yield finding
    for state in report.threading:
        moment = moments.get(state.moment)
        early = list(_find_early(state))
        if moment is not None and early and moment.process not in told:
            yield _tell_early(state, early, moment.process, fix)


def _judge_blocked(one: Blocked, process: Process) -> Finding | None:
    target = one.graph.actors.objects.get(one.wait.target or "")
    if target is not None and target.type in NATIVE and THREADING & set(process.patched or ()):
        what = one.graph.actors.name(target.id)
        said = Evidence(text=f"{what} is native; patched are {', '.join(process.patched or ())}", value=target.type)
        said.address = target.address
        return _tell_blocked(one, f"{what} was made before gevent patched threading", said, LOCK_EXPLANATION)
    kept = _find_kept(one, process)
    if kept is not None:
        original = f"{kept.original}, which it calls {kept.name}"
        said = Evidence(text=f"{kept.module}.{kept.name} is the original {kept.original}", value=f"module {kept.order}")
        return _tell_blocked(one, f"{kept.module} has kept the native {original}", said, KEPT_EXPLANATION)
    return None


def _find_kept(one: Blocked, process: Process) -> Kept | None:
    """What the module in whose line the thread waits has kept, where that waits so, and it has kept one thing alone."""
    at = own_line(one.thread)
    own = [kept for kept in process.kept if at is not None and kept.module == at.module]
    fits = [kept for kept in own if kept.original.partition(".")[0] in WAITS.get(one.wait.kind, ())]
    return fits[0] if len(fits) == 1 else None


def _tell_blocked(one: Blocked, title: str, said: Evidence, explanation: str) -> Finding:
    name = one.graph.actors.name(one.thread.id)
    return Finding(
        code=CODE,
        title=f"{title}, and {one.name} {describe_activity(one.thread)}",
        certainty="likely",
        process=one.process,
        subjects=one.subjects,
        evidence=[stand(one.thread, f"{name} {describe_activity(one.thread)}"), said],
        explanation=explanation,
        references=REFERENCES,
    )


def _find_early(state: ThreadingState) -> Iterator[ActiveThread]:
    """The threads of `threading` that are registered under their native idents, while its `get_ident` is gevent's."""
    if (state.get_ident_module or "").startswith("gevent") and state.error is None:
        yield from (one for one in state.active if one.is_native and one.type in REGISTERED)


def _tell_early(state: ThreadingState, early: list[ActiveThread], process: str, fix: str) -> Finding:
    names = ", ".join(one.name or str(one.key) for one in early[:FEW])
    return Finding(
        code=CODE,
        title=f"threading had registered {names} when gevent patched it",
        certainty="possible",
        process=process,
        evidence=[
            *(Evidence(text=f"{one.name} is registered under its native ident", value=hex(one.key)) for one in early),
            Evidence(text=f"get_ident is gevent's: {state.get_ident}", value=state.get_ident_module),
        ],
        explanation=THREAD_EXPLANATION,
        fix=fix,
        references=REFERENCES,
    )
