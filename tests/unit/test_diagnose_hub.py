"""hub-blocked and native-primitive-under-gevent: reports that have it, and near misses that have not."""

from __future__ import annotations

from typing import Any

import pytest

from lastwords.diagnose import diagnose
from lastwords.model import Frame, Greenlet, Hub, Thread
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
