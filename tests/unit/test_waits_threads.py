"""Patched threads: by their Thread objects and by the locks for their ends, each leads to its greenlet."""

from __future__ import annotations

from typing import Any

import pytest

from lastwords.capture.memory import ReadError
from lastwords.greenlets import waits_threads
from lastwords.greenlets.waits_threads import read_thread_greenlets

KEY, THREAD, LOCK, GREENLET = 0x10, 0x20, 0x30, 0x7F00
INTERP: Any = None


def prepare(monkeypatch: pytest.MonkeyPatch, attributes: dict[str, int]) -> None:
    monkeypatch.setattr(waits_threads, "find_module_globals", lambda interp, module: [0x40])
    monkeypatch.setattr(waits_threads, "find_item", lambda interp, variables, name: 0x50)
    monkeypatch.setattr(waits_threads, "read_items", lambda interp, active, limit: [(KEY, THREAD)])
    monkeypatch.setattr(waits_threads, "read_count", lambda interp, address: GREENLET)
    monkeypatch.setattr(waits_threads, "find_attributes", lambda interp, address: attributes)


def test_a_thread_and_the_lock_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch, {"_tstate_lock": LOCK})
    assert read_thread_greenlets(INTERP) == {THREAD: GREENLET, LOCK: GREENLET}


def test_a_release_that_keeps_no_such_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch, {})
    assert read_thread_greenlets(INTERP) == {THREAD: GREENLET}


def test_a_table_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ReadError("gone")

    prepare(monkeypatch, {})
    monkeypatch.setattr(waits_threads, "read_items", fail)
    assert read_thread_greenlets(INTERP) == {}
