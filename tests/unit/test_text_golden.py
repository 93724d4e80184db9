"""Whole pages, word for word (tests/golden/text); what somebody with a hung process needs is in the first screen.

LASTWORDS_GOLDEN=write makes the files anew; look at the difference before it is committed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import pytest

import sample_reports as sample
from lastwords.diagnose import diagnose
from lastwords.model import Edge, Frame, Greenlet, Report, Thread, WaitsFor
from lastwords.report.text import format_report
from sample_waits import Scene

GOLDEN = Path(__file__).parents[1] / "golden" / "text"
SCREEN = 24  # lines
LIBRARY = "/usr/lib/python3.12"


def library(file: str, line: int, function: str) -> Frame:
    return Frame(kind="python", module=file, function=function, file=f"{LIBRARY}/{file}.py", line=line)


STARTED = (library("threading", 995, "run"), library("threading", 1032, "_bootstrap"))


def in_function(name: str, thread: Thread) -> Thread:
    thread.stack[0].function = name
    return thread


def deadlock() -> Report:
    """Two threads of one name in a cycle, a main thread behind them, and 20 more that wait for one of the locks."""
    scene = Scene()
    first, second = scene.lock("bank.alice", address=0x7F10), scene.lock("bank.bob", address=0x7F20)
    threads = [scene.thread("transfer", 50 + at, *STARTED, id=f"t-{at}", tid=100 + at) for at in (1, 2)]
    for thread, own, other in zip(threads, (first, second), (second, first), strict=True):
        scene.holds(thread, own, 40)
        scene.waits(thread, other)
    scene.waits(scene.thread("MainThread", 70, tid=7), threads[0])
    for number in range(20):
        scene.waits(in_function("audit", scene.thread(f"audit-{number}", 60, *STARTED, tid=200 + number)), first)
    return scene.report


def at_exit() -> Report:
    """The exit joins a consumer of a queue into which nobody puts; two more wait there as well."""
    scene = Scene()
    scene.leaves()
    jobs = scene.lock("jobs", "queue", locked=None)
    main = scene.thread("MainThread", tid=7)
    main.stack = [library("threading", 1624, "_shutdown")]
    consumers = [scene.thread(f"consumer-{number}", 5, *STARTED, tid=8 + number) for number in range(3)]
    for one in map(partial(in_function, "consume"), consumers):
        scene.waits(one, jobs, detail="Queue.get: 0 items, 0 unfinished tasks")
    scene.waits(main, consumers[0], detail="Thread: consumer-0")
    return scene.report


def idle() -> Report:
    """A server whose 50 threads wait each for a lock of its own, as those of a pool do."""
    scene = Scene()
    scene.waits(
        scene.thread("MainThread", 90, tid=7), None, detail="accepts on 127.0.0.1:8000 (TCP), fd 3", serves=True
    )
    for number in range(50):
        own = scene.lock(f"inbox-{number}", "queue", locked=None, address=0x7F00 + number)
        own.name = "self.inbox"
        thread = in_function("serve", scene.thread(f"worker-{number}", 30, *STARTED, tid=100 + number))
        scene.waits(thread, own, detail="Queue.get: 0 items")
    return scene.report


def tree() -> Report:
    """A server with 8 workers, of which the third hangs in a lock that it holds itself."""
    made = sample.report(mode="attach", window_ms=12.0, processes=[])
    for number in range(9):
        scene = Scene(executable="/usr/bin/gunicorn")
        process, moment = scene.process, scene.moment
        process.id, process.pid, process.argv = f"process-{number}", 7 + number, ["/usr/bin/gunicorn", "-w", "8", "app"]
        process.modules, process.ppid = [], 7 if number else 1
        moment.id, moment.process = f"moment-{number}", process.id
        main = scene.thread("MainThread", 20, id=f"t-{number}", tid=7 + number)
        if number == 3:
            lock = scene.lock("cache")
            scene.holds(main, lock, 19)
            scene.waits(main, lock)
        else:
            kind = (
                {"detail": "accepts on 127.0.0.1:8000 (TCP), fd 3"} if number else {"detail": "select, until 12:00:00"}
            )
            scene.waits(main, None, serves=True, **kind)
        main.moment = moment.id
        for one in scene.report.objects:
            one.moment = moment.id
        for whole, part in (
            (made.processes, scene.report.processes), (made.moments, scene.report.moments),
            (made.threads, scene.report.threads), (made.objects, scene.report.objects),
            (made.edges, scene.report.edges),
        ):  # fmt: skip
            whole.extend(part)  # type: ignore[arg-type]
        if number:
            made.edges.append(Edge(origin=process.id, to="process-0", kind="parent", certainty="certain"))
    return made


def greenlets() -> Report:
    """Thousands of greenlets, two of which wait for each other's end."""
    scene = Scene(libraries={"gevent": "24.2.1", "greenlet": "3.0.3"})
    main = scene.thread("MainThread", 5, tid=7, greenlet="g-hub")
    scene.report.greenlets.append(
        Greenlet(id="g-hub", moment="moment-1", thread=main.id, state="running", type="gevent.hub.Hub", address=0x7F00)
    )
    for number in range(3_000):
        at = sample.python("serve", "/srv/app.py", 12 if number < 2_900 else 20, "event.wait()")
        one = Greenlet(
            id=f"g-{number}", moment="moment-1", thread=main.id, state="suspended", parent="g-hub", stack=[at],
            type="gevent._gevent_cgreenlet.Greenlet", name=f"Greenlet-{number}", address=0x10000 + number,
        )  # fmt: skip
        scene.report.greenlets.append(one)
    for number, other in ((5, 6), (6, 5)):
        one = scene.report.greenlets[number + 1]
        one.stack = [sample.python("crossed", "/srv/app.py", 30, "other.join()")]
        one.waits_for = WaitsFor(kind="join", target=f"g-{other}")
        scene.report.edges.append(Edge(origin=one.id, to=f"g-{other}", kind="waits", certainty="certain"))
    return scene.report


def swallowed() -> Report:
    """The case that lastwords was written for, and 12 more exceptions."""
    made = sample.original()
    for number in range(2, 14):
        made.exceptions.append(sample.caught(id=f"exception-{number}", type=f"Error{number}"))
    return made


PAGES: dict[str, Callable[[], Report]] = {
    one.__name__: one for one in (deadlock, at_exit, idle, tree, greenlets, swallowed)
}


def render(build: Callable[[], Report], **options: bool) -> list[str]:
    report = build()
    report.findings = diagnose(report)
    return list(format_report(report, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PAGES)
def test_the_page(name: str) -> None:
    page = "".join(f"{line}\n" for line in render(PAGES[name]))
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(page)
    assert page == golden.read_text()


def test_every_golden_page_belongs_to_a_test() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_the_answer_its_chain_and_the_fix_are_in_the_first_screen(name: str) -> None:
    lines = render(PAGES[name])
    said = "\n".join(lines[:SCREEN])
    if name not in ("idle", "swallowed"):
        assert "\nBecause:\n" in said and "\nFix:\n" in said
    assert name == "swallowed" or len(lines) < 3 * SCREEN


@pytest.mark.parametrize("name", PAGES)
def test_no_line_is_wider_than_80_but_what_was_printed_itself(name: str) -> None:
    assert [line for line in render(PAGES[name]) if len(line) > 80 and "Exception KeyError" not in line] == []


def test_all_shows_what_is_folded() -> None:
    folded, whole = render(deadlock), render(deadlock, each=True)
    assert sum(line.startswith("Thread") for line in folded) == 2
    assert sum(line.startswith("Thread") for line in whole) == 23
    assert not any("folded" in line for line in whole)


def test_colour_changes_no_word() -> None:
    assert [click.unstyle(line) for line in render(deadlock, colour=True)] == render(deadlock)


def test_a_thread_that_holds_another_lock_is_not_told_with_those_that_hold_none() -> None:
    report = idle()
    report.threads[1].holds = [report.objects[0].id]
    said = " ".join(" ".join(render(lambda: report)).split())
    assert "Thread 2 of 51: worker-0" in said
    assert "Threads 3 to 51 of 51, all like this" in said
