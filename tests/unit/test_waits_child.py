"""`Popen.wait` under gevent: the watcher that leads to the child, and one that does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lastwords.greenlets import waits_child
from lastwords.greenlets.loop_model import Watcher
from lastwords.greenlets.waits_child import find_child_wait
from lastwords.greenlets.waits_model import Wait

POPEN, RESULT, WATCHER, METHOD, CHILD_CLASS = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000
WAIT = Wait(kind="event", object=RESULT, object_kind="result")


def find(monkeypatch: pytest.MonkeyPatch, *, bound: int = POPEN, active: bool = True, own: int = RESULT) -> Wait | None:
    """One frame whose `self` has a result; gevent keeps one watcher, which is told a method of `bound`."""
    watcher = Watcher(WATCHER, "child", 1, is_active=active, is_pending=False, arguments=(METHOD,), number=42)
    monkeypatch.setattr(waits_child, "find_slot", lambda interp, place, name: POPEN)
    monkeypatch.setattr(waits_child, "find_attributes", lambda interp, address: {"result": own})
    monkeypatch.setattr(waits_child, "find_global", lambda interp, *names: 0x6000)
    monkeypatch.setattr(waits_child, "read_items", lambda interp, address, limit: [(0x7000, WATCHER)])
    monkeypatch.setattr(waits_child, "read_watcher", lambda fields, address, kind: watcher)
    monkeypatch.setattr(waits_child, "read_bound", lambda interp, method: bound)
    types = {WATCHER: CHILD_CLASS}
    interp: Any = SimpleNamespace(type_flags=lambda _: -1, number=lambda address, *_: types.get(address, 0))
    place: Any = None
    fields: Any = None
    return find_child_wait(interp, fields, {CHILD_CLASS: "child"}, [place], WAIT)


def test_the_child_for_whose_end_the_result_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find(monkeypatch)
    assert found is not None
    assert (found.kind, found.pid, found.detail) == ("process", 42, "waits for the end of process 42")


@pytest.mark.parametrize("change", [{"bound": 0x9000}, {"active": False}, {"own": 0x9000}])
def test_a_watcher_of_another_or_that_is_over(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    assert find(monkeypatch, **change) is None
