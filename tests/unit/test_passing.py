"""A program at its end is looked at again where its main thread was met between two waits."""

from __future__ import annotations

import pytest

from lastwords.examine.process import is_passing
from lastwords.model import Phase, Shutdown, WaitsFor
from sample_waits import Scene


def scene_at(phase: Phase, wait: WaitsFor | None, *, consistent: bool = True) -> Scene:
    scene = Scene()
    scene.moment.shutdown = Shutdown(phase=phase)
    scene.thread("MainThread", waits_for=wait, consistent=consistent)
    return scene


WAIT = WaitsFor(kind="io", certainty="certain")


@pytest.mark.parametrize(
    ("phase", "wait", "consistent", "expected"),
    [
        ("shutdown", None, True, True),
        ("shutdown", WAIT, False, True),
        ("shutdown", WAIT, True, False),
        ("running", None, True, False),
        ("finalizing", None, False, False),
    ],
)
def test_whether_it_is_passing(phase: Phase, wait: WaitsFor | None, *, consistent: bool, expected: bool) -> None:
    assert is_passing(scene_at(phase, wait, consistent=consistent).report) is expected


def test_other_threads_and_unknown_ends_do_not_count() -> None:
    scene = scene_at("shutdown", WAIT)
    scene.thread("worker", waits_for=None)
    assert not is_passing(scene.report)
    scene.moment.shutdown, scene.report.threads[0].waits_for = None, None
    assert not is_passing(scene.report)
