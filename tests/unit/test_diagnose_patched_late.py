"""`monkey-patch-order` of a moment, without a record of imports; a program that patched first never gets it."""

from __future__ import annotations

from typing import Any

import pytest

from lastwords.diagnose import diagnose
from lastwords.model import ActiveThread, Finding, Greenlet, Hub, Kept, ThreadingState
from sample_waits import Scene

NATIVE, GREEN = 0x7F00_0000_1340, 0x7F00_0000_2000


class Patched(Scene):
    """gevent has patched; the main thread runs a greenlet that waits natively, another cannot go on."""

    def __init__(self) -> None:
        super().__init__(patched=["threading", "time"])
        self.main = self.thread("MainThread", 12, greenlet="g-runs")
        self.report.hubs.append(Hub(id="hub", moment="moment-1", thread=self.main.id, greenlet="g-hub"))
        self.report.greenlets += [
            Greenlet(id="g-runs", moment="moment-1", thread=self.main.id, state="running", parent="g-hub"),
            Greenlet(id="g-waits", moment="moment-1", thread=self.main.id, state="suspended", parent="g-hub"),
        ]

    def find(self) -> Finding | None:
        return next((one for one in diagnose(self.report) if one.code == "monkey-patch-order"), None)


def waits_for_lock(**lock: Any) -> Patched:  # noqa: ANN401
    scene = Patched()
    scene.waits(scene.main, scene.lock("guard", **{"type": "_thread.lock", **lock}))
    return scene


def test_a_native_lock_under_a_patched_threading() -> None:
    finding = waits_for_lock().find()
    assert finding is not None
    assert finding.certainty == "likely"  # it may have been made on purpose
    assert finding.title.startswith("lock guard was made before gevent patched threading")
    assert finding.fix


def test_no_lock_of_this_process_and_no_patch() -> None:
    assert waits_for_lock(kind="process_lock", type="multiprocessing.synchronize.Lock").find() is None
    scene = waits_for_lock()
    scene.process.patched = ["time"]
    assert scene.find() is None
    scene.process.patched = None
    assert scene.find() is None


def sleeps(*kept: tuple[str, str, str]) -> Patched:
    scene = Patched()
    scene.waits(scene.main, None, "sleep", call="clock_nanosleep", detail="sleeps")
    scene.process.kept = [Kept(module=one, name=name, original=original, order=3) for one, name, original in kept]
    return scene


def test_what_a_module_has_kept() -> None:
    finding = sleeps(("__main__", "nap", "time.sleep")).find()
    assert finding is not None
    assert finding.certainty == "likely"
    assert finding.title.startswith("__main__ has kept the native time.sleep, which it calls nap")


@pytest.mark.parametrize(
    "kept",
    [
        [],
        [("library", "nap", "time.sleep")],
        [("__main__", "connect", "socket.create_connection")],
        [("__main__", "nap", "time.sleep"), ("__main__", "tick", "time.monotonic")],
    ],
)
def test_what_has_nothing_to_do_with_the_wait(kept: list[tuple[str, str, str]]) -> None:
    assert sleeps(*kept).find() is None


def registered(key: int, kind: str = "threading.Thread", **state: Any) -> Scene:  # noqa: ANN401
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, "sleep", has_timeout=True)
    entry = ActiveThread(key=key, name="exporter", type=kind, is_native=key == NATIVE)
    known = {"get_ident": "get_ident", "get_ident_module": "gevent.thread", "patched": True, **state}
    scene.report.threading.append(ThreadingState(moment="moment-1", active=[entry], **known))
    return scene


@pytest.mark.parametrize("kind", ["threading.Thread", "threading._MainThread"])
def test_a_thread_that_was_registered_before(kind: str) -> None:
    [finding] = diagnose(registered(NATIVE, kind).report)
    assert (finding.code, finding.certainty) == ("monkey-patch-order", "possible")
    assert finding.title == "threading had registered exporter when gevent patched it"
    assert hex(NATIVE) in [one.value for one in finding.evidence]


@pytest.mark.parametrize(
    "scene",
    [
        registered(GREEN),
        registered(NATIVE, "ddtrace.PeriodicThread"),
        registered(NATIVE, get_ident_module="_thread"),
        registered(NATIVE, error="half of it"),
    ],
)
def test_one_that_was_registered_after_or_by_others(scene: Scene) -> None:
    assert [one.code for one in diagnose(scene.report)] == ["healthy"]


def test_moments_of_dropped_exceptions_are_judged_by_their_exceptions() -> None:
    scene = registered(NATIVE)
    scene.moment.reason = "unraisable"
    assert "monkey-patch-order" not in [one.code for one in diagnose(scene.report)]
