"""`lost-wakeup`: what is waited for is there already; and near misses, where somebody is about to say so."""

from __future__ import annotations

from typing import Any

import pytest

from lastwords.diagnose import diagnose
from lastwords.model import Finding, Object, Thread, WaitsFor
from sample_greenlets import Greenlets
from sample_waits import Scene


def find(scene: Scene) -> Finding | None:
    return next((one for one in diagnose(scene.report) if one.code == "lost-wakeup"), None)


def waiter(kind: str, found: dict[str, Any], **wait: Any) -> tuple[Scene, Thread, Object]:  # noqa: ANN401
    scene = Scene()
    main, lock = scene.thread("MainThread", 8), scene.lock("it", kind, **found)
    scene.waits(main, lock, "queue" if kind == "simple_queue" else None, **wait)
    return scene, main, lock


QUEUE = {"locked": None, "type": "queue.Queue"}
THERE = [
    ("lock", {"locked": False}, {}, "is free"),
    ("semaphore", {"locked": False, "count": 2}, {}, "is free"),
    ("event", {"locked": None, "count": 1}, {}, "is set"),
    ("simple_queue", {"locked": None, "count": 3}, {}, "has 3 items"),
    ("queue", {**QUEUE, "count": 2}, {"function": "get"}, "has 2 items"),
    ("queue", {**QUEUE, "count": 2, "limit": 3}, {"function": "put"}, "has room: 2 items of at most 3"),
    ("queue", {**QUEUE, "count": 0, "unfinished": 0}, {"function": "join"}, "has no unfinished task"),
]
NOT_THERE = [
    ("lock", {"locked": True}, {}),
    ("lock", {"locked": None}, {}),
    ("process_lock", {"locked": False}, {}),
    ("event", {"locked": None, "count": 0}, {}),
    ("condition", {"locked": False, "count": 1}, {}),
    ("simple_queue", {"locked": None, "count": 0}, {}),
    ("queue", {**QUEUE, "count": 0}, {"function": "get"}),
    ("queue", {**QUEUE, "count": 2}, {}),
    ("queue", {**QUEUE, "count": 2, "type": "app.Shelf"}, {"function": "get"}),
    ("queue", {**QUEUE, "count": 3, "limit": 3}, {"function": "put"}),
    ("queue", {**QUEUE, "count": 1, "unfinished": 1}, {"function": "join"}),
]


@pytest.mark.parametrize(("kind", "found", "wait", "said"), THERE)
def test_what_is_there(kind: str, found: dict[str, Any], wait: dict[str, Any], said: str) -> None:
    scene, _, lock = waiter(kind, found, **wait)
    finding = find(scene)
    assert finding is not None
    assert finding.certainty == "certain"
    name = f"{kind.replace('_', ' ')} it"
    assert finding.title == f"MainThread waits for {name}, which {said}: it was not woken"
    assert (finding.evidence[0].line, finding.evidence[1].address) == (8, lock.address)


@pytest.mark.parametrize(("kind", "found", "wait"), NOT_THERE)
def test_what_is_not_there_or_may_not_be(kind: str, found: dict[str, Any], wait: dict[str, Any]) -> None:
    assert find(waiter(kind, found, **wait)[0]) is None


@pytest.mark.parametrize("change", [{"idle_s": 0.2}, {"idle_s": None}, {"state": "running"}, {"consistent": False}])
def test_a_thread_that_was_woken_just_now(change: dict[str, Any]) -> None:
    scene, main, _ = waiter("event", {"count": 1})
    for name, value in change.items():
        setattr(main, name, value)
    assert find(scene) is None


def test_a_wait_that_ends_by_itself() -> None:
    assert find(waiter("event", {"count": 1}, has_timeout=True)[0]) is None


def test_another_thread_may_be_in_the_middle_of_waking_it() -> None:
    scene, _, _ = waiter("event", {"count": 1})
    other = scene.thread("setter")
    assert find(scene) is None  # it runs
    scene.waits(other, None, "gil")
    assert find(scene) is None  # it is about to
    scene.waits(other, None, "io", call="read")
    assert find(scene) is not None
    other.consistent = False
    assert find(scene) is None


def test_it_is_as_certain_as_the_wait() -> None:
    scene, _, _ = waiter("event", {"count": 1}, certainty="likely")
    finding = find(scene)
    assert finding is not None
    assert finding.certainty == "likely"


def greenlet_waits(**lock: Any) -> Greenlets:  # noqa: ANN401
    """The main greenlet waits for a lock of gevent's that is free; the other sleeps."""
    scene = Greenlets()
    found = scene.lock("guard", "rlock", **{"locked": False, "count": 1, "type": "gevent.thread.LockType", **lock})
    scene.waits(scene.first, found)
    scene.other.waits_for = WaitsFor(kind="sleep", has_timeout=True)
    scene.hub.counts = {"timers": 1}
    return scene


def test_a_greenlet_that_is_linked_to_a_lock_that_is_free() -> None:
    scene = greenlet_waits()
    finding = diagnose(scene.report)[0]
    assert (finding.code, finding.certainty) == ("lost-wakeup", "certain")
    assert finding.title == "main waits for rlock guard, which is free: it was not woken"
    assert "its hub polls, and has no callback to make" in [one.text for one in finding.evidence]


@pytest.mark.parametrize(
    ("state", "counts", "complete"),
    [("polling", {"callbacks": 1}, True), ("callback", {}, True), ("switched out", {}, True), ("polling", {}, False)],
)
def test_a_hub_that_may_still_wake_it(state: Any, counts: dict[str, int], complete: bool) -> None:  # noqa: ANN401
    scene = greenlet_waits()
    scene.hub.state, scene.hub.counts, scene.hub.complete = state, counts, complete
    scene.main.idle_s = 0.1
    assert find(scene) is None


def test_a_lock_that_somebody_has_and_a_native_thread_that_runs() -> None:
    assert find(greenlet_waits(locked=True, count=0)) is None
    scene = greenlet_waits()
    scene.thread("exporter")
    assert find(scene) is None


def test_a_hub_that_sleeps_over_what_another_thread_gave_it() -> None:
    scene = Greenlets()
    scene.waits(scene.first, scene.lock("items", "queue", locked=None, type="gevent._gevent_cqueue.Queue"))
    scene.hub.counts, scene.hub.callbacks = {"callbacks": 1}, ["a method of gevent._gevent_cqueue.Queue"]
    finding = find(scene)
    assert finding is not None
    assert finding.title == "the hub of MainThread sleeps, and has 1 callback to call: it was not woken"
    assert [one.kind for one in finding.subjects] == ["greenlet", "thread"]
    assert "a method of gevent._gevent_cqueue.Queue" in [one.value for one in finding.evidence]


@pytest.mark.parametrize("change", [{"state": "callback"}, {"complete": False}, {"counts": {"callbacks": 0}}])
def test_a_hub_that_will_call_it(change: dict[str, Any]) -> None:
    scene = Greenlets()
    scene.hub.counts = {"callbacks": 1}
    for name, value in change.items():
        setattr(scene.hub, name, value)
    assert find(scene) is None
