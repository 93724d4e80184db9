"""How long the GIL is kept: the interpreter's own count, looked at again and again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lastwords.capture.memory import ReadError
from lastwords.cpython.gil import Gil
from lastwords.examine import gil_kept
from lastwords.examine.gil_kept import LOOKED, watched_gil
from lastwords.model import Gil as Shown
from lastwords.model import Thread, WaitsFor
from sample_waits import Scene

STATE = 0x10


class States:
    """Threads of the interpreter, as far as is asked here."""

    tstate, tid = STATE, 5


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleeping is what makes time pass."""
    now = [0.0]
    known = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(gil_kept, "time", known)


def watch(monkeypatch: pytest.MonkeyPatch, looks: list[Gil | None], waits_for: WaitsFor | None = None) -> float | None:
    """What is noted where the looks show these, one after the other, the last for ever."""
    scene = Scene()
    main = scene.thread("MainThread", tid=5, waits_for=waits_for)
    scene.moment.gil = Shown(holder=main.id, waiters=["other"])

    def read(_: object) -> list[Gil]:
        found = looks.pop(0) if len(looks) > 1 else looks[0]
        if found is None:
            raise ReadError("it has ended")
        return [found]

    monkeypatch.setattr(gil_kept, "read_gil", read)
    with watched_gil(scene.report, cast(Any, None), [cast(Any, States())]):
        pass
    return scene.moment.gil.kept_s


def gil(switches: int | None, holder: int = STATE) -> Gil:
    return Gil((0,), (), holder, (), switches)


@pytest.mark.usefixtures("clock")
def test_who_keeps_it_is_watched_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = watch(monkeypatch, [gil(7)])
    assert kept is not None
    assert kept >= LOOKED


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    "looks",
    [
        [gil(7), gil(8)],  # it went to another thread, and came back
        [gil(7), gil(7), gil(7), gil(7, holder=0x20)],
        [gil(7), gil(7), None],
        [gil(None)],  # 3.6
        [gil(7, holder=0x20)],  # somebody else's by now
    ],
)
def test_it_has_changed_hands(monkeypatch: pytest.MonkeyPatch, looks: list[Gil | None]) -> None:
    assert watch(monkeypatch, looks) is None


@pytest.mark.usefixtures("clock")
def test_who_waits_with_it_is_told_by_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    sleeping = Thread(id="t", moment="moment-1")
    scene.waits(sleeping, None, "sleep")
    assert watch(monkeypatch, [gil(7)], waits_for=sleeping.waits_for) is None
