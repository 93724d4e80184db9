"""hub-blocked and native-primitive-under-gevent: reports that have it, and near misses that have not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastwords.diagnose import diagnose
from lastwords.model import Edge, Frame, Greenlet, Hub, Thread, WaitsFor
from sample_waits import APP, Scene, frame

HUB = frame("gevent.hub", "run")


class Greenlets(Scene):
    """A process whose main thread has a hub, a greenlet that runs, and one that has given way."""

    def __init__(self, *stack: Frame) -> None:
        super().__init__()
        self.main: Thread = self.thread("MainThread", 7, *stack)
        self.add("main", is_main=True)
        self.add("hub", parent="g-main")
        self.report.hubs.append(Hub(id="hub", moment="moment-1", thread=self.main.id, greenlet="g-hub"))
        self.runs = self.add("poll", state="running", parent="g-hub")
        self.other = self.add("beat", parent="g-hub")
        self.main.greenlet = self.runs.id

    def add(self, name: str, **fields: Any) -> Greenlet:  # noqa: ANN401 - the model's fields, handed on
        known: dict[str, Any] = {"moment": "moment-1", "thread": self.main.id, "state": "suspended", **fields}
        at = Frame(kind="python", function=name, module="__main__", file=APP, line=30)
        one = Greenlet(id=f"g-{name}", name=name, address=0x600, stack=[at], **known)
        self.report.greenlets.append(one)
        return one

    def sleeps(self, **fields: Any) -> Greenlets:  # noqa: ANN401
        self.waits(self.main, None, "sleep", call="clock_nanosleep", detail="sleeps until noon", **fields)
        return self


def codes(scene: Scene) -> list[tuple[str, str]]:
    return [(one.code, one.certainty) for one in diagnose(scene.report)]


def is_blocked(scene: Scene) -> bool:
    return any(code in ("hub-blocked", "native-primitive-under-gevent") for code, _ in codes(scene))


def test_a_greenlet_that_sleeps_natively() -> None:
    scene = Greenlets().sleeps(has_timeout=True)
    finding = diagnose(scene.report)[0]
    assert (finding.code, finding.certainty) == ("hub-blocked", "certain")
    assert finding.title == (
        "greenlet poll of MainThread sleeps until noon at /srv/app.py:7, without giving way to the hub"
    )
    assert [(one.name, one.line) for one in finding.subjects] == [("MainThread", 7)]
    assert any(one.text == "greenlet beat cannot go on" and one.line == 30 for one in finding.evidence)


def test_the_main_greenlet_beside_one_that_has_not_started() -> None:
    scene = Greenlets().sleeps()
    main = scene.report.greenlets[0]
    scene.main.greenlet, main.state = main.id, "running"
    scene.runs.state, scene.other.state = "dead", "unstarted"
    assert codes(scene)[0] == ("hub-blocked", "certain")
    assert diagnose(scene.report)[0].title.startswith("the main greenlet of MainThread sleeps")


def test_a_callback_in_the_hub() -> None:
    scene = Greenlets(HUB).sleeps()
    scene.main.greenlet, scene.runs.state = "g-hub", "dead"
    assert codes(scene)[0] == ("hub-blocked", "certain")
    assert diagnose(scene.report)[0].title.startswith("a callback in the hub of MainThread")


def test_a_hub_in_its_loop_is_where_it_belongs() -> None:
    scene = Greenlets().sleeps()
    scene.main.stack, scene.main.greenlet, scene.runs.state = [HUB], "g-hub", "suspended"
    assert not is_blocked(scene)


def test_without_a_greenlet_that_could_go_on_nobody_is_blocked() -> None:
    scene = Greenlets().sleeps()
    scene.other.state = "dead"
    scene.report.greenlets[0].state = "dead"
    assert not is_blocked(scene)


def test_one_that_its_parent_has_switched_to_past_the_hub() -> None:
    scene = Greenlets().sleeps()
    scene.other.state, scene.runs.parent = "dead", "g-main"
    assert not is_blocked(scene)


def test_greenlets_of_another_thread_are_not_blocked() -> None:
    scene = Greenlets().sleeps()
    scene.other.thread, scene.report.greenlets[0].thread = "t-other", "t-other"
    assert not is_blocked(scene)


@pytest.mark.parametrize("module", ["gevent.threadpool", "gevent._threading"])
def test_gevents_own_threads_may_wait(module: str) -> None:
    assert not is_blocked(Greenlets(frame(module, "run")).sleeps())


def test_what_is_over_soon_and_what_waits_for_the_gil() -> None:
    scene = Greenlets().sleeps()
    scene.main.idle_s = 0.01
    assert not is_blocked(scene)
    scene = Greenlets()
    scene.waits(scene.main, None, "gil")
    assert not is_blocked(scene)


def test_one_that_may_have_run_meanwhile() -> None:
    scene = Greenlets().sleeps()
    scene.main.consistent = False
    assert codes(scene)[0] == ("hub-blocked", "likely")


def test_a_native_lock() -> None:
    scene = Greenlets()
    scene.waits(scene.main, scene.lock("guard"), detail="lock")
    finding = diagnose(scene.report)[0]
    assert (finding.code, finding.certainty) == ("native-primitive-under-gevent", "certain")
    assert [one.name for one in finding.subjects] == ["MainThread", "lock guard"]


def test_a_native_lock_that_another_thread_has() -> None:
    scene = Greenlets()
    guard = scene.lock("guard")
    scene.waits(scene.main, guard)
    scene.holds(scene.thread("worker"), guard)
    assert codes(scene)[0] == ("hub-blocked", "certain")


def test_a_native_lock_that_another_thread_has_who_waits_for_an_event() -> None:
    scene = Greenlets()
    guard, worker = scene.lock("guard"), scene.thread("worker", 12)
    scene.waits(scene.main, guard, detail="lock")
    scene.holds(worker, guard, 11)
    scene.waits(worker, scene.lock("answer", "event", locked=False), detail="Event.wait: not set")
    finding = next(one for one in diagnose(scene.report) if one.code == "hub-blocked")
    told = [(one.text, one.line) for one in finding.evidence]
    assert ("worker holds it (certain)", 11) in told
    assert ("worker waits: Event.wait: not set", 12) in told


class Mixed(Greenlets):
    """A greenlet waits natively for a lock of a thread that waits for another greenlet's end."""

    def __init__(self) -> None:
        super().__init__()
        guard, worker = self.lock("guard"), self.thread("worker", 12)
        self.waits(self.main, guard, detail="lock")
        self.holds(worker, guard)
        worker.waits_for = WaitsFor(kind="join", target=self.other.id)
        self.report.edges.append(Edge(origin=worker.id, to=self.other.id, kind="waits", certainty="certain"))

    @property
    def cycles(self) -> list[str]:
        return [one.title for one in diagnose(self.report) if one.code == "lock-cycle"]


def test_a_greenlet_and_a_thread_wait_for_each_other() -> None:
    assert Mixed().cycles == [
        "deadlock: MainThread waits for lock guard, held by worker, which waits for the end of beat, "
        "which cannot run before MainThread can"
    ]


def no_hub_turns(scene: Mixed) -> None:
    scene.main.greenlet = "g-hub"


def it_ends_by_itself(scene: Mixed) -> None:
    assert scene.main.waits_for is not None
    scene.main.waits_for.has_timeout = True


def of_another_thread(scene: Mixed) -> None:
    scene.other.thread = "t-worker"


def it_has_ended(scene: Mixed) -> None:
    scene.other.state = "dead"


@pytest.mark.parametrize("change", [no_hub_turns, it_ends_by_itself, of_another_thread, it_has_ended])
def test_near_misses_of_a_mixed_cycle(change: Callable[[Mixed], None]) -> None:
    scene = Mixed()
    change(scene)
    assert scene.cycles == []


def test_a_greenlet_that_waits_for_a_greenlet_of_its_own_thread_is_told_as_the_native_wait_that_it_is() -> None:
    scene = Greenlets()
    guard = scene.lock("guard")
    scene.waits(scene.main, guard, detail="lock")
    scene.report.edges.append(Edge(origin=scene.other.id, to=guard.id, kind="holds", certainty="certain"))
    assert codes(scene)[0][0] == "native-primitive-under-gevent"
    assert "lock-cycle" not in [code for code, _ in codes(scene)]
