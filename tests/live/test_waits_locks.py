"""Locks of every kind, in every state, are read as the target has them; what only looks like one is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness import Target
from interpreters import Interpreter as Python
from lastwords import cpython
from lastwords.cpython.locks import read_lock
from lastwords.cpython.waiting.candidates import is_alive

Start = Callable[..., Target]


def differences(interp: cpython.Interpreter, facts: list[dict[str, Any]]) -> list[object]:
    """What is told from inside beside what is read from outside, where they are not the same."""
    found: list[object] = []
    for fact in facts:
        state = read_lock(interp, fact["address"])
        seen = {
            "kind": state.kind if state else None,
            "address": state.address if state else fact["address"],
            "locked": state.locked if state else None,
            "owner": state.owner_ident if state else None,
            "count": state.count if state else None,
        }
        found += [(fact, state)] if seen != fact else []
    return found


def test_every_lock_is_as_the_target_says(interpreter: Python, start_target: Start) -> None:
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    target = start_target(interpreter, "has_locks.py")
    facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
    interp = cpython.open_process(target.pid)
    assert len(facts) >= 46
    assert differences(interp, facts) == []
    assert len(differences(interp, [{**facts[1], "locked": False}, {**facts[0], "count": 1}])) == 2
    assert all(is_alive(interp, fact["address"]) for fact in facts if fact["kind"])
    words = [state.word for fact in facts if (state := read_lock(interp, fact["address"])) and state.kind == "lock"]
    assert len(set(words)) == len(words) == 3
