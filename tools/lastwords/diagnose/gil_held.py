"""`gil-held`: a thread waits in the kernel, or runs C code for long, with the GIL in its hands."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import Actors, own_line
from lastwords.diagnose.exits import describe_stand
from lastwords.diagnose.wait_graph import graph_of
from lastwords.model import Evidence, Finding, Gil, Moment, Report, Thread

CODE = "gil-held"
LONG = 0.1  # seconds: longer than a page that has to come from the disk
KEPT = 1.0  # seconds: sorting and the like take a while, too

EXPLANATION = (
    "C code that may wait has to give the GIL back first (Py_BEGIN_ALLOW_THREADS). This code did not: as long as it "
    "waits, no other thread of the interpreter runs a line of Python, and no signal handler does."
)
FIX = (
    "In the extension, put Py_BEGIN_ALLOW_THREADS and Py_END_ALLOW_THREADS round the call. With ctypes, call through "
    "CDLL, which gives the GIL back, not PyDLL; with cffi or Cython, `with nogil`."
)

KEPT_EXPLANATION = (
    "Code of Python gives the GIL away as soon as another thread has waited for 5 ms. The C code that this thread is "
    "in does not before it is done: as long as that takes, no other thread of the interpreter runs a line of Python, "
    "and no signal handler does."
)
KEPT_FIX = (
    "See what it works on: a regular expression with nested repeats may take for ever (`(a+)+$`), and a sort, a huge "
    "number or a parser long. Limit the input, or do it in another process. In an extension of your own, give the GIL "
    "back round what takes long (Py_BEGIN_ALLOW_THREADS)."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each moment in which the holder of the GIL waits for anything else, or keeps it for long."""
    actors = graph_of(report).actors
    for moment in report.moments:
        holder = actors.by_id.get(moment.gil.holder or "") if moment.gil else None
        if isinstance(holder, Thread) and moment.gil and moment.gil.waiters and _sleeps(holder):
            yield _make_finding(actors, moment, holder, moment.gil.waiters)
        elif isinstance(holder, Thread) and moment.gil and moment.gil.waiters and (moment.gil.kept_s or 0.0) >= KEPT:
            yield _tell_kept(actors, moment, holder, moment.gil)


def _sleeps(holder: Thread) -> bool:
    wait = holder.waits_for
    return wait is not None and wait.kind != "gil" and holder.state == "sleeping" and (holder.idle_s or 0.0) >= LONG


def _make_finding(actors: Actors, moment: Moment, holder: Thread, waiters: list[str]) -> Finding:
    wait, at = holder.waits_for, own_line(holder)
    what = (wait.detail or wait.kind) if wait else "waits"
    where = f" at {at.file}:{at.line}" if at else ""
    others = "thread waits" if len(waiters) == 1 else "threads wait"
    return Finding(
        code=CODE,
        title=f"{actors.name(holder.id)} holds the GIL and waits{where} ({what}); {len(waiters)} {others} for the GIL",
        certainty="certain" if holder.consistent and wait and wait.certainty == "certain" else "likely",
        process=moment.process,
        subjects=[actors.subject(holder.id), *(actors.subject(one) for one in waiters[:4])],
        evidence=[
            describe_stand(holder),
            Evidence(text="the kernel says that it sleeps, in the call", value=wait.call if wait else None),
            Evidence(text="the interpreter says that it holds the GIL, and who waits for it", value=str(len(waiters))),
        ],
        explanation=EXPLANATION,
        fix=FIX,
    )


def _tell_kept(actors: Actors, moment: Moment, holder: Thread, gil: Gil) -> Finding:
    at = own_line(holder)
    where = f" at {at.file}:{at.line}" if at else ""
    others = "thread waits" if len(gil.waiters) == 1 else "threads wait"
    name, seconds = actors.name(holder.id), f"{gil.kept_s or 0.0:.1f} s"
    return Finding(
        code=CODE,
        title=f"{name} keeps the GIL{where}, and runs: for {seconds} nobody else has had it; "
        f"{len(gil.waiters)} {others} for it",
        certainty="likely",
        process=moment.process,
        subjects=[actors.subject(holder.id), *(actors.subject(one) for one in gil.waiters[:4])],
        evidence=[
            describe_stand(holder),
            Evidence(
                text="the interpreter's count of how often the GIL changed hands has stayed the same for", value=seconds
            ),
            Evidence(text="threads that waited for it all the while", value=str(len(gil.waiters))),
        ],
        explanation=KEPT_EXPLANATION,
        fix=KEPT_FIX,
    )
