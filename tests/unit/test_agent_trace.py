"""hunter's events as a tree of calls, as text, and as Chrome trace JSON."""

from __future__ import annotations

import json
from typing import Any

from lastwords.capture.agent_trace import build_trace
from lastwords.model import Process, Report, Tool, TraceCall
from lastwords.report.chrome_trace import chrome_trace
from lastwords.report.tree import format_trace


def call(id: int, parent: int | None, t: float, function: str = "f", **more: object) -> dict[str, Any]:
    place = {"file": "/lib/threading.py", "line": 5, "args": {}}
    return {"kind": "call", "id": id, "parent": parent, "t": t, "function": function} | place | more


def end(id: int, t: float, **more: object) -> dict[str, Any]:
    return {"kind": "return", "id": id, "t": t, "value": "None", "exception": None} | more


def raised(id: int, t: float, text: str, out_of: int | None = None) -> dict[str, Any]:
    return {"kind": "raise", "id": id, "t": t, "text": text, "line": 6, "out_of": out_of}


def tree(*records: dict[str, Any]) -> list[TraceCall]:
    calls, unread = build_trace(records, "process-7", lambda file, line: None)
    assert unread == 0
    return calls


def shutdown() -> list[TraceCall]:
    return tree(
        call(0, None, 10.0, "_shutdown"),
        {"kind": "changed", "id": 0, "t": 10.0, "values": {"lock": "<locked>"}},
        call(1, 0, 10.1, "lock.acquire", builtin=True, args={"self": "<locked>"}),
        end(1, 12.1, value=None),
        call(2, 0, 12.1, "_stop"),
        raised(2, 12.2, "KeyError: 1"),
        end(2, 12.2, exception="KeyError: 1"),
        raised(0, 12.2, "KeyError: 1", out_of=2),
        end(0, 12.3, exception="KeyError: 1"),
    )


def test_calls_nest_and_know_how_they_ended() -> None:
    (root,) = shutdown()
    assert (root.function, root.start, root.exception, root.changed) == (
        "_shutdown",
        0.0,
        "KeyError: 1",
        ["lock = <locked>"],
    )
    acquire, stop = root.calls
    assert (acquire.kind, round(acquire.seconds or 0, 6)) == ("builtin", 2.0)
    assert (stop.exception, stop.result) == ("KeyError: 1", None)


def test_an_exception_passed_on_by_a_finally_is_seen_in_the_caller() -> None:
    (root,) = tree(call(0, None, 0), call(1, 0, 1), end(1, 2), raised(0, 2, "ValueError: x", out_of=1), end(0, 3))
    assert root.calls[0].exception == "ValueError: x"
    assert root.calls[0].result is None


def test_a_call_into_c_gets_its_exception_from_the_caller() -> None:
    (root,) = tree(
        call(0, None, 0),
        call(1, 0, 1, "lock.release", builtin=True),
        end(1, 2, value=None, raised=True),
        raised(0, 2, "RuntimeError: release unlocked lock"),
        end(0, 3),
    )
    assert root.calls[0].exception == "RuntimeError: release unlocked lock"
    assert (root.exception, root.result) == (None, "None")


def test_calls_of_another_greenlet_are_not_mixed_in() -> None:
    outer, beside = tree(call(0, None, 0), call(1, None, 1, "run"), call(2, 0, 2, "inner"), end(2, 3), end(0, 4))
    assert [inner.function for inner in outer.calls] == ["inner"]
    assert (beside.calls, beside.seconds) == ([], None)


def test_the_tree_as_text() -> None:
    assert list(format_trace(shutdown())) == [
        "_shutdown()  threading.py:5  2.30 s  raised KeyError: 1",
        "|- changed: lock = <locked>",
        "|- lock.acquire(self=<locked>)  waited 2.00 s",
        "`- _stop()  threading.py:5  100.0 ms  raised KeyError: 1",
    ]


def test_an_open_call_is_shown_as_open_and_quick_ones_are_folded() -> None:
    quick = [record for n in range(1, 4) for record in (call(n, 0, n, f"q{n}", file="/x.py"), end(n, n + 0.0001))]
    calls = tree(call(0, None, 0, "_shutdown"), *quick, call(9, 0, 5, "_thread._shutdown", builtin=True))
    assert list(format_trace(calls)) == [
        "_shutdown()  threading.py:5  had not returned when the trace ended",
        "|- ... 3 quick calls (q1, q2, q3)  300 us",
        "`- _thread._shutdown()  still waiting when the trace ended",
    ]


def test_what_a_program_calls_its_functions_cannot_write_to_the_terminal() -> None:
    (line,) = format_trace(tree(call(0, None, 0, "f\x1b[2J", args={"a": "\x07"}), end(0, 1)))
    assert "\x1b" not in line
    assert "\x07" not in line


def test_chrome_trace_has_what_the_format_needs() -> None:
    calls = [*shutdown(), TraceCall(process="process-7", function="run", start=0.5)]
    process = Process(id="process-7", pid=7)
    report = Report(tool=Tool(version="0"), mode="trace", captured_at="", processes=[process], trace=calls)
    document = json.loads(chrome_trace(report))
    events = [event for event in document["traceEvents"] if event["ph"] != "M"]
    assert all({"name", "cat", "ph", "ts", "pid", "tid", "args"} <= set(event) for event in events)
    root, acquire, stop, run = events
    assert (root["ph"], root["ts"], round(root["dur"])) == ("X", 0.0, 2_300_000)
    assert root["ts"] <= acquire["ts"]
    assert acquire["ts"] + acquire["dur"] <= root["ts"] + root["dur"]
    assert (stop["tid"], run["ph"], run["tid"]) == (7, "B", 8)
