"""The threads of one moment as text: who waits for what, who holds it, in the first line the main thread's."""

from __future__ import annotations

import pytest

from lastwords.model import (
    Capture,
    Edge,
    ExceptionValue,
    Frame,
    Moment,
    Object,
    Process,
    Python,
    Report,
    Shutdown,
    Thread,
    Tool,
    Value,
    WaitsFor,
)
from lastwords.report.text import format_report
from lastwords.report.threads import format_headline


@pytest.fixture
def report() -> Report:
    """Two threads that wait for each other's lock."""
    held = [
        Object(id=f"lock-{name}", moment="m", kind="lock", type="_thread.lock", address=address, locked=True)
        for name, address in (("a", 0x7F10), ("b", 0x7F20))
    ]
    main = Thread(
        id="t1", moment="m", tid=11, ident=0x11, name="MainThread", is_main=True, interpreter=0, state="sleeping",
        stack=[Frame(kind="python", function="transfer", file="bank.py", line=7, source="with b:")],
        waits_for=WaitsFor(kind="lock", target="lock-b", call="futex"), holds=["lock-a"],
    )  # fmt: skip
    worker = Thread(
        id="t2", moment="m", tid=12, ident=0x12, name="worker-1", daemon=True, is_main=False, interpreter=0,
        stack=[Frame(kind="python", function="audit", file="bank.py", line=15)], holds_gil=True,
        waits_for=WaitsFor(kind="lock", target="lock-a", certainty="likely"), holds=["lock-b"],
    )  # fmt: skip
    return Report(
        tool=Tool(version="0"),
        mode="attach",
        captured_at="2026-01-01T00:00:00+00:00",
        processes=[Process(id="p", pid=11, argv=["python", "bank.py"], python=Python(version="3.11.7"))],
        moments=[Moment(id="m", process="p", reason="attach", capture=Capture(method="stopped for 2.0 ms"))],
        threads=[main, worker],
        objects=held,
        edges=[
            Edge(origin="t1", to="lock-a", kind="holds", certainty="certain", evidence="`with a` at bank.py:6"),
            Edge(origin="t2", to="lock-b", kind="holds", certainty="certain", evidence="`with b` at bank.py:14"),
            Edge(origin="t1", to="lock-b", kind="waits", certainty="certain"),
        ],
    )


def test_the_whole_page(report: Report) -> None:
    assert list(format_report(report)) == [
        "MainThread waits for the lock at 0x7f20, held by worker-1 (certain)",
        "",
        "Process: pid 11, CPython 3.11.7: python bank.py",
        "  read: stopped for 2.0 ms",
        "",
        "Thread 1 of 2: MainThread (tid 11, sleeping)",
        "  waits for the lock at 0x7f20, held by worker-1 (certain)",
        "  holds the lock at 0x7f10 (certain): `with a` at bank.py:6",
        '    File "bank.py", line 7, in transfer',
        "      with b:",
        "",
        "Thread 2 of 2: worker-1 (tid 12, daemon, holds the GIL)",
        "  waits for the lock at 0x7f10, held by MainThread (certain), likely",
        "  holds the lock at 0x7f20 (certain): `with b` at bank.py:14",
        '    File "bank.py", line 15, in audit',
    ]


def test_a_main_thread_that_runs(report: Report) -> None:
    report.threads[0].waits_for = None
    assert format_headline(report) == "MainThread runs: bank.py:7 in transfer"


def test_the_shutdown_is_in_the_first_line(report: Report) -> None:
    report.moments[0].shutdown = Shutdown(phase="shutdown", step="threading._shutdown")
    report.threads[0].waits_for = WaitsFor(kind="join", target="t2")
    first = next(format_report(report))
    assert first == "MainThread waits for the join of worker-1; the interpreter shuts down, in"
    report.moments[0].shutdown = Shutdown(phase="finalizing")
    assert (format_headline(report) or "").endswith("worker-1; the interpreter takes itself apart")


def test_a_lock_whose_owner_is_gone(report: Report) -> None:
    report.edges = []
    report.objects[1].owner_ident = 0x99
    headline = format_headline(report)
    assert headline == "MainThread waits for the lock at 0x7f20, whose owner no longer exists"


def test_waiting_for_what_is_no_object(report: Report) -> None:
    report.threads[0].waits_for = WaitsFor(kind="io", detail="reads from fd 5, a pipe")
    assert format_headline(report) == "MainThread waits: reads from fd 5, a pipe"
    report.threads[0].waits_for = WaitsFor(kind="unknown", certainty="possible")
    assert format_headline(report) == "MainThread waits (unknown), possible"


def test_locals_and_exceptions_are_shown_where_they_were_read(report: Report) -> None:
    thread = report.threads[0]
    thread.stack[0].locals = {"n": Value(type="int", repr="3"), "x\x1b": Value(missing="unreadable")}
    thread.handled = ExceptionValue(type="ValueError", value="no")
    lines = list(format_report(report))
    assert "  handles ValueError: no" in lines
    assert "        n = 3" in lines
    assert "        x\\x1b = (unreadable)" in lines


def test_what_is_not_sure_is_said(report: Report) -> None:
    report.threads[1].consistent = False
    report.threads[1].error = "the frames come back to 0x7f"
    lines = list(format_report(report))
    assert "may have run while it was read" in " ".join(line.strip() for line in lines)
    assert "  not all of it could be read: the frames come back to 0x7f" in lines


def test_processes_that_were_not_read_are_named(report: Report) -> None:
    report.threads[1].waits_for = WaitsFor(kind="io", detail="reads from fd 5, a pipe", pids=[11, 31, 30])
    report.objects[1].sharers = [32]
    _, first, command, *_ = format_report(report)
    assert first == "  not read: processes 30, 31, 32, which have a part in what it waits for"
    assert command == "  All processes below 11 are read by:  lastwords attach --tree 11"
    report.objects[1].sharers = None
    report.threads[1].waits_for = WaitsFor(kind="process", pid=33)
    assert list(format_report(report))[1] == "  not read: process 33, which has a part in what it waits for"
    report.mode = "core"
    assert "not read" not in "".join(format_report(report))


def test_nothing_at_all() -> None:
    empty = Report(tool=Tool(version="0"), mode="attach", captured_at="")
    assert list(format_report(empty)) == ["no findings"]


def test_threads_that_do_the_same_are_told_once(report: Report) -> None:
    frame = Frame(kind="python", function="work", file="pool.py", line=3)
    report.threads += [
        Thread(id=f"w{number}", moment="m", tid=20 + number, name=f"pool-{number}", interpreter=0, stack=[frame])
        for number in range(12)
    ]
    lines = list(format_report(report))
    title = next(at for at, line in enumerate(lines) if line.startswith("Threads"))
    assert lines[title:] == [
        "Threads 3 to 14 of 14, all like this: pool-0, pool-1, pool-2, pool-3, pool-4,",
        "  pool-5, pool-6, pool-7 and 4 more (--all shows each)",
        '    File "pool.py", line 3, in work',
    ]
    assert sum("pool.py" in line for line in lines) == 1
    assert sum("pool.py" in line for line in format_report(report, details=True)) == 12
