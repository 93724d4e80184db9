"""`kill-swallowed`: somebody waits for the end of a greenlet that was killed, caught GreenletExit, and goes on."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import own_line, stand
from lastwords.diagnose.hubs import name_greenlet
from lastwords.diagnose.wait_graph import WaitGraph, graph_of
from lastwords.model import Certainty, Evidence, Finding, Frame, Greenlet, Report

CODE = "kill-swallowed"
MODULES = ("gevent.greenlet", "gevent._greenlet", "gevent._gevent_cgreenlet")
KILLS = ("kill", "killall")
SOURCE = (".kill(", "killall(")  # how a call of gevent's C code looks where its own frames have no names

EXPLANATION = (
    "kill() throws GreenletExit into the greenlet once, and waits for its end. The exception has been thrown: what is "
    "waited for now is the end. The greenlet is alive, so that something in it caught the exception: a bare `except:`, "
    "`except BaseException`, or a `finally` that waits."
)
FIX = (
    "Catch Exception, not everything; or let gevent.GreenletExit pass (`except gevent.GreenletExit: raise`). Where a "
    "greenlet has to clean up, do it in `finally`, and give kill() a timeout."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each greenlet that waits in `kill` for another that is suspended."""
    graph = graph_of(report)
    greenlets = {one.id: one for one in report.greenlets}
    for killer in report.greenlets:
        victim = greenlets.get(killer.waits_for.target or "") if killer.waits_for else None
        is_join = killer.waits_for is not None and killer.waits_for.kind == "join" and graph.judges(killer)
        certainty = _judge(killer) if is_join and victim is not None and victim.state == "suspended" else None
        if victim is not None and certainty is not None:
            yield _make_finding(graph, killer, victim, certainty)


def _judge(killer: Greenlet) -> Certainty | None:
    """Likely where a frame is that of gevent's `kill`; only possible where the text of the line is all there is."""
    frames = killer.stack
    if any(frame.module in MODULES and frame.function in KILLS for frame in frames):
        return "likely"
    inner = next((frame for frame in frames if frame.kind == "python"), None)
    return "possible" if inner is not None and any(one in (inner.source or "") for one in SOURCE) else None


def _make_finding(graph: WaitGraph, killer: Greenlet, victim: Greenlet, certainty: Certainty) -> Finding:
    process = graph.actors.process(killer.id)
    at = own_line(victim) or Frame(kind="python")
    where = f" at {at.file}:{at.line}" if at.file else ""
    name = name_greenlet(victim)
    caught = "caught" if certainty == "likely" else "may have caught"
    return Finding(
        code=CODE,
        title=f"{name} {caught} its kill and goes on{where}; {name_greenlet(killer)} waits for its end",
        certainty=certainty,
        process=process.id if process else None,
        subjects=[graph.actors.subject(victim.id), graph.actors.subject(killer.id)],
        evidence=[
            stand(killer, f"{name_greenlet(killer)} waits for its end"),
            stand(victim, f"{name_greenlet(victim)} is alive, and suspended here"),
            Evidence(text="it waits for", value=victim.waits_for.detail if victim.waits_for else "unknown"),
        ],
        explanation=EXPLANATION,
        fix=FIX,
    )
