"""greenlet-stranded, hub-starved, hub-misuse, kill-swallowed: reports that have it, and near misses that have not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastwords.diagnose import diagnose
from lastwords.model import Capture, Edge, Frame, Halt, How, Moment, Process, Python, Report, Sample, WaitsFor
from sample_greenlets import Greenlets, caught
from sample_waits import APP, frame


def codes(report: Report) -> list[tuple[str, str]]:
    return [(one.code, one.certainty) for one in diagnose(report)]


def test_an_event_that_nobody_will_set() -> None:
    [finding] = diagnose(Greenlets().stranded().report)
    assert (finding.code, finding.certainty) == ("greenlet-stranded", "likely")
    assert finding.title == "nothing is left that could wake the main greenlet: it waits: an Event to be set"
    assert finding.subjects[0].line == 30


def test_who_could_set_it_waits_for_the_same_or_for_another_such() -> None:
    scene = Greenlets().stranded()
    joiner, second = scene.add("joiner"), scene.add("second")
    joiner.waits_for = WaitsFor(kind="join", target=scene.first.id)
    scene.report.edges.append(Edge(origin=joiner.id, to=scene.first.id, kind="waits", certainty="certain"))
    scene.waits(second, scene.lock("other", "event"))
    for origin, to in (("g-joiner", "o-done"), ("g-second", "o-done"), ("g-main", "o-other")):
        scene.report.edges.append(Edge(origin=origin, to=to, kind="may_wake", certainty="possible"))
    [finding] = diagnose(scene.report)
    assert (finding.code, len(finding.subjects)) == ("greenlet-stranded", 2)
    scene.report.edges.append(Edge(origin="g-beat", to="o-other", kind="may_wake", certainty="possible"))
    assert [one.code for one in diagnose(scene.report)] == ["healthy"]  # beat may set one, and who waits for that, all


def crosswise() -> Greenlets:
    """Two greenlets wait for the semaphore that the other has taken by a call, the main one for their ends."""
    scene = Greenlets()
    scene.other.waits_for = WaitsFor(kind="sleep", has_timeout=True)
    scene.hub.counts = {"timers": 1}
    left, right = scene.add("left"), scene.add("right")
    for one, name in ((left, "a"), (right, "b")):
        scene.waits(one, scene.lock(name, "semaphore", locked=True))
    for origin, to in (("g-left", "o-b"), ("g-right", "o-a"), ("g-main", "o-a"), ("g-main", "o-b")):
        scene.report.edges.append(Edge(origin=origin, to=to, kind="may_wake", certainty="possible"))
    scene.first.waits_for = WaitsFor(kind="join", detail="2 greenlets, and perhaps others", certainty="likely")
    for one in (left, right):
        scene.report.edges.append(Edge(origin=one.id, to="g-main", kind="may_wake", certainty="likely"))
    return scene


def test_locks_that_nobody_will_release() -> None:
    [finding] = diagnose(crosswise().report)
    assert (finding.code, finding.certainty) == ("greenlet-stranded", "likely")
    assert {one.name for one in finding.subjects} == {"left", "right"}


def test_an_orphaned_lock_is_told_once() -> None:
    scene = Greenlets()
    scene.other.waits_for, scene.hub.counts = WaitsFor(kind="sleep", has_timeout=True), {"timers": 1}
    scene.waits(scene.first, scene.lock("guard", "rlock", owner_ident=0x600))
    assert [one.code for one in diagnose(scene.report)] == ["orphaned-lock"]


def knows_a_lock(scene: Greenlets) -> None:
    scene.report.edges.append(Edge(origin="g-beat", to="o-a", kind="may_wake", certainty="possible"))


def has_a_lock(scene: Greenlets) -> None:
    scene.report.edges.append(Edge(origin="g-beat", to="o-b", kind="holds", certainty="likely"))


def joins_another(scene: Greenlets) -> None:
    scene.report.edges.append(Edge(origin="g-beat", to="g-main", kind="may_wake", certainty="likely"))


def joins_nobody_knows_whom(scene: Greenlets) -> None:
    scene.report.edges = [one for one in scene.report.edges if one.to != "g-main"]


@pytest.mark.parametrize("change", [knows_a_lock, has_a_lock, joins_another, joins_nobody_knows_whom])
def test_somebody_could_still_release_one(change: Callable[[Greenlets], None]) -> None:
    scene = crosswise()
    change(scene)
    assert "greenlet-stranded" not in [code for code, _ in codes(scene.report)]


def test_of_a_hub_that_polls_its_main_greenlet_is_told() -> None:
    scene = Greenlets()
    scene.first.waits_for = WaitsFor(kind="event", detail="an Event to be set")
    [finding] = diagnose(scene.report)
    assert finding.title == ("nothing is wrong that one look could tell: main waits: an Event to be set")


@pytest.mark.parametrize("is_between", [False, True])
def test_the_exit_waits_for_a_greenlet(is_between: bool) -> None:
    """gevent's threading._shutdown joins in its main greenlet, again and again for a moment."""
    scene = Greenlets()
    scene.leaves("threading._shutdown")
    scene.first.stack = [frame("gevent.thread", "join"), frame("gevent.monkey", "_shutdown")]
    scene.first.waits_for = WaitsFor(kind="join", target=scene.other.id, has_timeout=not is_between)
    scene.other.waits_for = WaitsFor(kind="event", detail="an Event to be set")
    scene.main.waits_for = None if is_between else scene.main.waits_for
    found = [(one.code, one.certainty) for one in diagnose(scene.report)]
    assert found == [("exit-waits-for-thread", "certain" if is_between else "likely")]
    title = diagnose(scene.report)[0].title
    assert title == "the exit waits for the thread that is beat, which waits: an Event to be set"


def another_thread(scene: Greenlets) -> None:
    scene.thread("worker")


def known_elsewhere(scene: Greenlets) -> None:
    scene.report.edges.append(Edge(origin="g-beat", to="o-done", kind="may_wake", certainty="certain"))


def with_wait(**wait: Any) -> Callable[[Greenlets], None]:  # noqa: ANN401
    def change(scene: Greenlets) -> None:
        scene.other.waits_for = WaitsFor(**wait)

    return change


def with_hub(**fields: Any) -> Callable[[Greenlets], None]:  # noqa: ANN401
    def change(scene: Greenlets) -> None:
        for name, value in fields.items():
            setattr(scene.hub, name, value)

    return change


def limited(scene: Greenlets) -> None:
    assert scene.first.waits_for is not None
    scene.first.waits_for.has_timeout = True


def handles_signals(scene: Greenlets) -> None:
    scene.process.signals_caught = ["SIGINT", "SIGTERM"]


def handles_ctrl_c(scene: Greenlets) -> None:
    scene.process.signals_handled = ["SIGINT"]


def unstarted(scene: Greenlets) -> None:
    scene.add("late", state="unstarted")


@pytest.mark.parametrize(
    "change",
    [
        another_thread,
        known_elsewhere,
        limited,
        handles_signals,
        handles_ctrl_c,
        with_hub(signals=["SIGINT"]),
        unstarted,
        with_wait(kind="io"),
        with_wait(kind="unknown"),
        with_wait(kind="hub"),
        with_hub(searched=False),
        with_hub(complete=False),
        with_hub(others=1),
        with_hub(state="callback"),
        with_hub(counts={"timers": 2}),
        with_hub(counts={"timers": 1, "watchers": 1}),
        with_hub(counts={"timers": 1, "callbacks": 1}),
    ],
)
def test_somebody_could_still_set_it(change: Callable[[Greenlets], None]) -> None:
    scene = Greenlets().stranded()
    change(scene)
    assert "greenlet-stranded" not in [code for code, _ in codes(scene.report)]


def test_a_greenlet_that_computes() -> None:
    finding = diagnose(Greenlets().starved().report)[0]
    assert (finding.code, finding.certainty) == ("hub-starved", "certain")
    assert finding.title == f"greenlet beat computes at {APP}:7, and the hub has had no turn for 2.5 s"
    assert finding.evidence[-1].value == "3 timers"


@pytest.mark.parametrize(
    "change",
    [
        with_hub(since_s=0.4),
        with_hub(since_s=None),
        with_hub(counts={}),
        with_hub(state="polling"),
        lambda scene: scene.waits(scene.main, None, "sleep"),
        lambda scene: setattr(scene.main, "greenlet", "g-hub"),
        lambda scene: setattr(scene.main, "consistent", False),
        lambda scene: setattr(scene.process, "halt", Halt(how="stopped")),
        lambda scene: scene.report.samples.append(
            Sample(moment="moment-1", thread=scene.main.id, stack=[frame("gevent.hub", "run")])
        ),
    ],
)
def test_it_gives_way(change: Callable[[Greenlets], None]) -> None:
    scene = Greenlets().starved()
    change(scene)
    assert "hub-starved" not in [code for code, _ in codes(scene.report)]


def test_a_thread_that_was_not_seen_running_starves_its_hub_likely() -> None:
    scene = Greenlets().starved()
    scene.main.state = "sleeping"
    assert codes(scene.report)[0] == ("hub-starved", "likely")


def test_a_kill_that_was_caught() -> None:
    scene = Greenlets().killed()
    finding = diagnose(scene.report)[0]
    assert (finding.code, finding.certainty) == ("kill-swallowed", "likely")
    assert (
        finding.title == f"greenlet beat caught its kill and goes on at {APP}:30; the main greenlet waits for its end"
    )


def test_a_kill_by_gevents_c_code_is_only_possible_by_its_line() -> None:
    scene = Greenlets().killed()
    del scene.first.stack[0]
    assert "kill-swallowed" not in [code for code, _ in codes(scene.report)]
    scene.first.stack[0].source = "worker.kill()"
    assert ("kill-swallowed", "possible") in codes(scene.report)


@pytest.mark.parametrize("state", ["unstarted", "dead", "running"])
def test_a_kill_that_is_not_over(state: Any) -> None:  # noqa: ANN401
    scene = Greenlets().killed()
    scene.other.state = state
    assert "kill-swallowed" not in [code for code, _ in codes(scene.report)]


def test_gevent_refuses_to_wait_in_the_hub() -> None:
    finding = diagnose(caught("gevent.exceptions.BlockingSwitchOutError", frame("gevent.hub", "switch_out")))[0]
    assert (finding.code, finding.certainty) == ("hub-misuse", "certain")
    assert finding.title == f"on_done waits in the hub itself at {APP}:4, which gevent refuses"


def test_an_old_gevent_refuses_by_an_assertion() -> None:
    report = caught("AssertionError", frame("gevent.hub", "switch_out"))
    assert codes(report)[0] == ("hub-misuse", "likely")
    report.exceptions[0].how = "hub"  # which had called it
    assert codes(report) == [("hub-misuse", "certain")]


def test_another_threads_hub() -> None:
    finding = diagnose(caught("gevent.exceptions.InvalidThreadUseError"))[0]
    assert (finding.code, finding.certainty) == ("hub-misuse", "certain")
    assert "another thread" in finding.title


def of_gevent(report: Report) -> Report:
    """The same of a program that has gevent."""
    report.processes[0].libraries["gevent"] = "26.9.0"
    return report


def native(file: str, function: str) -> Frame:
    """A frame of gevent's that tells its file alone."""
    return Frame(kind="python", function=function, file=f"/site-packages/gevent/{file}", line=7)


MADE_BY_GEVENT = (
    native("libev/corecext.pyx", "gevent.libev.corecext.child.__cinit__"),
    native("os.py", "_watch_child"),
)


@pytest.mark.parametrize(
    "made",
    [
        MADE_BY_GEVENT,
        (native("_ffi/watcher.py", "__init__"), native("_ffi/loop.py", "child"), native("os.py", "_watch_child")),
    ],
)
def test_a_child_watcher_in_another_thread(made: tuple[Frame, ...]) -> None:
    finding = diagnose(of_gevent(caught("TypeError", *made, frame("subprocess", "check_output"))))[0]
    assert (finding.code, finding.certainty) == ("hub-misuse", "certain")
    assert finding.title == (
        f"on_done waits for a child process in a thread whose hub is not the first one's at {APP}:4, "
        "which gevent refuses"
    )
    assert finding.subjects[0].line == 4


ASKED = frame("asyncio.runners", "run")


@pytest.mark.parametrize("inner", [(ASKED,), (frame("asyncio.base_events", "_check_running"), ASKED)])
def test_a_second_loop_in_a_greenlet(inner: tuple[Frame, ...]) -> None:
    finding = diagnose(of_gevent(caught("RuntimeError", *inner)))[0]
    assert (finding.code, finding.certainty) == ("hub-misuse", "likely")
    assert finding.title.endswith(
        f"starts an event loop while another greenlet of the thread runs one at {APP}:4, which asyncio refuses"
    )


def switching(how: How) -> Report:
    """A greenlet.error."""
    report = of_gevent(caught("greenlet.error"))
    report.exceptions[0].how = how
    return report


def test_a_switch_to_another_threads_greenlet() -> None:
    assert codes(switching("thread"))[0] == ("hub-misuse", "likely")


@pytest.mark.parametrize(
    "report",
    [
        caught("TypeError", *MADE_BY_GEVENT),  # a program without gevent: files that are called like its own
        of_gevent(caught("TypeError", MADE_BY_GEVENT[0])),  # the program made the watcher, of what is no number
        of_gevent(caught("TypeError", MADE_BY_GEVENT[1])),
        of_gevent(caught("ValueError", *MADE_BY_GEVENT)),
        caught("RuntimeError", ASKED),
        of_gevent(caught("ValueError", ASKED)),  # what it was given is no coroutine
        of_gevent(caught("RuntimeError", frame("asyncio.base_events", "_check_closed"), ASKED)),
        # in a coroutine, where no greenlet is needed for it
        of_gevent(caught("RuntimeError", ASKED, frame("__main__", "fetch"), frame("asyncio.events", "_run"))),
        switching("uncaught"),  # of the only thread: its greenlet has ended
    ],
)
def test_near_misses_of_misuse(report: Report) -> None:
    assert "hub-misuse" not in [code for code, _ in codes(report)]


@pytest.mark.parametrize("function", ["run", "switch_out_of"])
def test_another_assertion_is_no_misuse(function: str) -> None:
    assert "hub-misuse" not in [code for code, _ in codes(caught("AssertionError", frame("gevent.hub", function)))]


def test_loop_exit() -> None:
    finding = diagnose(caught("gevent.exceptions.LoopExit", frame("gevent.hub", "switch")))[0]
    assert (finding.code, finding.certainty) == ("greenlet-stranded", "certain")
    assert finding.subjects[0].line == 4


def test_an_exception_of_that_name_elsewhere_is_none() -> None:
    assert "greenlet-stranded" not in [code for code, _ in codes(caught("app.LoopExit"))]


def beside_a_pipe() -> Greenlets:
    """The main greenlet waits for a child's end, which writes into a pipe of its parent's."""
    scene = Greenlets()
    scene.report.greenlets.remove(scene.other)
    scene.report.processes.append(Process(id="process-8", pid=8, ppid=7, python=Python(version="3.11.7")))
    moment = Moment(id="moment-2", process="process-8", reason="attach", capture=Capture(method="test"))
    scene.report.moments.append(moment)
    child = scene.thread("child", 9, moment="moment-2")
    child.is_main = scene.main.is_main = True
    child.waits_for = WaitsFor(kind="io", target="process-7", detail="writes to fd 1", call="write", pid=7)
    scene.first.waits_for = WaitsFor(kind="process", target="process-8", detail="waits for the end of process 8", pid=8)
    for origin, to in (("t-child", "process-7"), ("g-main", "process-8")):
        scene.report.edges.append(Edge(origin=origin, to=to, kind="waits", certainty="certain"))
    return scene


def test_a_cycle_through_a_child_leads_past_the_hub() -> None:
    finding = diagnose(beside_a_pipe().report)[0]
    assert (finding.code, finding.certainty) == ("lock-cycle", "certain")
    assert {one.kind for one in finding.subjects[:2]} == {"greenlet", "thread"}


def test_another_greenlet_could_read_the_pipe() -> None:
    scene = beside_a_pipe()
    scene.add("reader").waits_for = WaitsFor(kind="sleep", has_timeout=True)
    assert dict(codes(scene.report))["lock-cycle"] == "likely"


def test_a_child_that_does_not_write() -> None:
    scene = beside_a_pipe()
    scene.report.edges = [one for one in scene.report.edges if one.origin != "t-child"]
    assert "lock-cycle" not in dict(codes(scene.report))
