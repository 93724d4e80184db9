"""A program at its end is looked at again where its main thread was met between two waits."""

from __future__ import annotations

import pytest

from lastwords.examine.process import is_passing
from lastwords.model import Phase, Shutdown
from sample_waits import Scene


def scene_at(phase: Phase, state: str, *, consistent: bool = True) -> Scene:
    scene = Scene()
    scene.moment.shutdown = Shutdown(phase=phase)
    scene.thread("MainThread", state=state, consistent=consistent)
    return scene


@pytest.mark.parametrize(
    ("phase", "state", "consistent", "expected"),
    [
        ("shutdown", "running", True, True),
        ("shutdown", "sleeping", False, True),
        ("shutdown", "sleeping", True, False),  # be it known for what or not: it would have to be interrupted again
        ("running", "running", True, False),
        ("finalizing", "running", False, False),
    ],
)
def test_whether_it_is_passing(phase: Phase, state: str, *, consistent: bool, expected: bool) -> None:
    assert is_passing(scene_at(phase, state, consistent=consistent).report) is expected


def test_other_threads_and_unknown_ends_do_not_count() -> None:
    scene = scene_at("shutdown", "sleeping")
    scene.thread("worker", state="running")
    assert not is_passing(scene.report)
    scene.moment.shutdown, scene.report.threads[0].state = None, "running"
    assert not is_passing(scene.report)
