"""A trace as Chrome trace JSON, which Perfetto (https://ui.perfetto.dev) and chrome://tracing open.

The format: "Trace Event Format", JSON object form. Complete events (`ph` X) have `ts` and `dur` in microseconds;
a call that never returned is a begin event (`ph` B) without an end. Calls of one lane (`tid`) must nest; what
ran beside (a greenlet) gets a lane of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from lastwords.model import Report, TraceCall

Event = dict[str, Any]


def chrome_trace(report: Report) -> bytes:
    """All traces of the report as one document."""
    events = [event for process in report.processes for event in _process_events(report, process.id, process.pid)]
    return msgspec.json.encode({"traceEvents": events, "displayTimeUnit": "ms"}) + b"\n"


def _process_events(report: Report, process: str, pid: int) -> Iterator[Event]:
    calls = [call for call in report.trace if call.process == process]
    if not calls:
        return
    yield {"ph": "M", "name": "process_name", "pid": pid, "tid": pid, "args": {"name": "interpreter shutdown"}}
    for lane, roots in enumerate(_lanes(calls)):
        name = "main thread" if lane == 0 else f"beside it {lane}"
        yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": pid + lane, "args": {"name": name}}
        for root in roots:
            yield from _call_events(root, pid, pid + lane)


def _lanes(calls: list[TraceCall]) -> list[list[TraceCall]]:
    """The outermost calls, those that overlap in different lanes."""
    lanes: list[list[TraceCall]] = []
    for call in sorted(calls, key=lambda call: call.start or 0.0):
        for lane in lanes:
            if _end(lane[-1]) <= (call.start or 0.0):
                lane.append(call)
                break
        else:
            lanes.append([call])
    return lanes


def _end(call: TraceCall) -> float:
    return float("inf") if call.seconds is None else (call.start or 0.0) + call.seconds


def _call_events(call: TraceCall, pid: int, tid: int) -> Iterator[Event]:
    event: Event = {
        "name": call.function,
        "cat": call.kind,
        "pid": pid,
        "tid": tid,
        "ts": round((call.start or 0.0) * 1e6, 3),
        "args": _arguments(call),
    }
    if call.seconds is None:
        yield event | {"ph": "B"}
    else:
        yield event | {"ph": "X", "dur": round(call.seconds * 1e6, 3)}
    for inner in call.calls:
        yield from _call_events(inner, pid, tid)


def _arguments(call: TraceCall) -> dict[str, str]:
    told = dict(call.arguments)
    if call.file:
        told["file"] = f"{call.file}:{call.line}"
    if call.changed:
        told["changed"] = "; ".join(call.changed)
    for name in ("result", "exception", "source"):
        if getattr(call, name) is not None:
            told[name] = getattr(call, name)
    return told
