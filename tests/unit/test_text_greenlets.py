"""Greenlets as text: what runs and its parents, then groups, the largest first."""

from __future__ import annotations

import pytest

import sample_reports as sample
from lastwords.model import Capture as Captured
from lastwords.model import Edge, Frame, Greenlet, Hub, Moment, Object, Report, Thread, WaitsFor
from lastwords.report.greenlets import format_greenlets
from lastwords.report.layout import Page

PAGE = Page(width=100)


def greenlet(number: int, **more: object) -> Greenlet:
    settings: dict[str, object] = {
        "id": f"greenlet-{number}",
        "moment": "moment-1",
        "address": 0x7F00_0000_0000 + number,
        "type": "gevent._gevent_cgreenlet.Greenlet",
        "state": "suspended",
        "thread": "thread-1",
        "parent": "greenlet-1",
        "stack": [sample.python("wait", "app.py", 7, "event.wait()"), sample.python("serve", "app.py", 12)],
    }
    return Greenlet(**(settings | more))  # type: ignore[arg-type]


def report(*greenlets: Greenlet) -> Report:
    moment = Moment(id="moment-1", process="process-1", reason="attach", capture=Captured(method="by hand"))
    thread = Thread(id="thread-1", moment="moment-1", tid=1, name="MainThread")
    hub = Hub(id="hub", moment="moment-1", greenlet="greenlet-1")
    module = sample.python("<module>", "app.py", 30)
    made = sample.report(moments=[moment], threads=[thread], hubs=[hub])
    made.greenlets = [
        greenlet(0, type="greenlet.greenlet", is_main=True, parent=None, stack=[module]),
        greenlet(1, type="gevent.hub.Hub", parent="greenlet-0", stack=[sample.python("run", "hub.py", 647)]),
        *greenlets,
    ]
    return made


def lines(made: Report, page: Page = PAGE) -> list[str]:
    return list(format_greenlets(page, made, made.moments[0], guilty={}))


def test_those_that_are_alike_are_told_once_and_the_largest_group_first() -> None:
    run = Frame(kind="python", function="serve", file="app.py", line=10)
    others = [greenlet(2, stack=[sample.python("sleep", "app.py", 20)])]
    alike = [greenlet(number, name=f"Greenlet-{number}", run=run) for number in range(3, 9)]
    spawned = [sample.python("main", "app.py", 29)]
    alike[0].spawned_at = spawned
    running = greenlet(9, state="running", stack=[])
    unstarted = greenlet(10, state="unstarted", stack=[], run=run)
    finished = [greenlet(number, state="dead", stack=[]) for number in range(11, 30)]
    assert lines(report(*others, *alike, running, unstarted, *finished)) == [
        "",
        "Greenlets: 30 (1 running, 9 suspended, 1 not started, 19 finished)",
        "",
        "Greenlet: Greenlet at 0x7f0000000009, running",
        "  gevent._gevent_cgreenlet.Greenlet, in MainThread, parent: Hub at 0x7f0000000001",
        "  its stack is that of its thread, above",
        "",
        "Greenlet: Hub at 0x7f0000000001, suspended",
        "  gevent.hub.Hub, in MainThread, parent: the main greenlet of MainThread",
        '    File "hub.py", line 647, in run',
        "",
        "Greenlet: the main greenlet of MainThread, suspended",
        "  greenlet.greenlet",
        '    File "app.py", line 30, in <module>',
        "",
        "6 greenlets like this, suspended: Greenlet-3, Greenlet-4, Greenlet-5, Greenlet-6 and 2 more (--all",
        "  shows each)",
        "  gevent._gevent_cgreenlet.Greenlet, in MainThread, parent: Hub at 0x7f0000000001, runs serve",
        "    (app.py:10)",
        "  spawned at app.py:29 in main",
        '    File "app.py", line 12, in serve',
        '    File "app.py", line 7, in wait',
        "      event.wait()",
        "",
        "Greenlet: Greenlet at 0x7f0000000002, suspended",
        "  gevent._gevent_cgreenlet.Greenlet, in MainThread, parent: Hub at 0x7f0000000001",
        '    File "app.py", line 20, in sleep',
        "",
        "Greenlet: Greenlet at 0x7f000000000a, not started",
        "  gevent._gevent_cgreenlet.Greenlet, in MainThread, parent: Hub at 0x7f0000000001, runs serve",
        "    (app.py:10)",
        "",
        "19 greenlets like this, finished: Greenlet at 0x7f000000000b, Greenlet at 0x7f000000000c, Greenlet",
        "  at 0x7f000000000d, Greenlet at 0x7f000000000e and 15 more (--all shows each)",
        "  gevent._gevent_cgreenlet.Greenlet, in MainThread, parent: Hub at 0x7f0000000001",
    ]


@pytest.mark.parametrize("page", [Page(each=True), Page(details=True)])
def test_each_by_itself(page: Page) -> None:
    alike = [greenlet(number) for number in range(2, 9)]
    text = lines(report(*alike), page)
    assert sum(line.startswith("Greenlet: ") for line in text) == 9
    assert not any("like this" in line for line in text)


def test_names_from_the_program_are_escaped() -> None:
    text = lines(report(greenlet(2, name="a\x1b[31m\nb")))
    assert any("a\\x1b[31m\\nb" in line for line in text)


def test_what_could_not_be_read_is_said_and_keeps_a_greenlet_out_of_groups() -> None:
    text = lines(report(greenlet(2, error="its frames"), greenlet(3, thread=None), greenlet(4, thread=None)))
    assert "  not all of it could be read: its frames" in text
    assert any(line.startswith("2 greenlets like this") for line in text)
    assert any("of no thread" in line for line in text)


def test_without_greenlets_nothing_is_said() -> None:
    made = report()
    made.greenlets.clear()
    assert lines(made) == []


def test_a_cycle_of_parents_ends() -> None:
    made = report(greenlet(2, state="running", parent="greenlet-3"), greenlet(3, parent="greenlet-2"))
    assert sum("Greenlet at 0x7f000000000" in line and line.startswith("Greenlet:") for line in lines(made)) == 2


def test_what_they_wait_for_and_hold() -> None:
    made = report(
        greenlet(2, name="evict", waits_for=WaitsFor(kind="lock", target="object-1")),
        greenlet(3, name="save", waits_for=WaitsFor(kind="join", target="greenlet-2"), parent=None),
        greenlet(4, name="late", waits_for=WaitsFor(kind="sleep", detail="sleeps", until=86400.0 * 365), stack=[]),
    )
    made.objects.append(Object(id="object-1", moment="moment-1", kind="semaphore", name="db", address=0x70))
    held = {"kind": "holds", "certainty": "certain", "evidence": "`with db` in save"}
    made.edges.append(Edge(origin="greenlet-3", to="object-1", **held))  # type: ignore[arg-type]
    said = lines(made)
    assert "  waits for the semaphore db at 0x70, held by save (certain)" in said
    assert "  waits for the end of evict" in said
    assert "  holds the semaphore db at 0x70 (certain): `with db` in save" in said
    assert "  waits: sleeps, until 1971-01-01" in [line.rpartition(" ")[0] for line in said]


def test_of_those_that_are_alike_one_is_the_example() -> None:
    wait = WaitsFor(kind="event", detail="an Event to be set", certainty="likely", has_timeout=True)
    said = lines(report(*(greenlet(number, name=f"Greenlet-{number}", waits_for=wait) for number in (2, 3))))
    assert "  Greenlet-2 waits: an Event to be set, with a timeout, likely" in said


def test_what_the_hub_does_and_what_can_wake_it() -> None:
    made = report()
    inside = Frame(kind="python", function="on_done", file="app.py", line=4)
    made.hubs[0] = Hub(
        id="hub", moment="moment-1", thread="thread-1", greenlet="greenlet-1", state="callback", inside=inside,
        counts={"timers": 2, "watchers": 1, "callbacks": 0}, timers=["in 2 s: greenlet-2", "in 9 s: greenlet-3"],
        watchers=["fd 5 readable: greenlet-2"], others=1, since_s=0.25, complete=False,
    )  # fmt: skip
    said = " ".join(" ".join(lines(made)).split())
    assert (
        "The hub of MainThread: in a callback (on_done at app.py:4), its loop turned 0.2 s ago; 2 timers (the first "
        "in 2 s), 1 descriptor, 0 callbacks, 1 of children, signals or other threads, and what could not be read"
    ) in said
    assert "timer: in 9 s" not in said
    details = lines(made, Page(details=True))
    assert "    timer: in 9 s: greenlet-3" in details
    assert "    descriptor: fd 5 readable: greenlet-2" in details
