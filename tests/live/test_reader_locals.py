"""Locals: what the target's own frames have and print is what is read from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness import Target, wait_until
from interpreters import Interpreter as Python
from lastwords import cpython
from lastwords.capture import procfs
from lastwords.cpython.frame import Place, read_frame_at, read_places
from lastwords.cpython.locals import CHARACTERS, MORE, NAMES, TOTAL, read_locals
from lastwords.cpython.slots import find_slot, read_slots
from lastwords.model import Value

Start = Callable[..., Target]
Facts = list[tuple[str, str | None, dict[str, str | None]]]  # function, module, locals
Stopped = tuple[cpython.Interpreter, list[Place], Facts]
pytestmark = pytest.mark.interpreters("!free_threaded")
CUT = "..."


@pytest.fixture
def stopped(interpreter: Python, start_target: Start) -> Stopped:
    """The interpreter, the main thread's frames behind the one that told, and what that said of them."""
    target = start_target(interpreter, "reader_locals.py")
    facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
    call = f"task/{target.pid}/syscall"
    wait_until(lambda: procfs.read_text(target.pid, call).startswith("0 "), "the main thread waits in read()")
    interp = cpython.open_process(target.pid)
    return interp, list(read_places(interp, interp.threads()[-1][0]))[1:], facts


def check(seen: dict[str, Value], told: dict[str, str | None]) -> None:
    """The same names with the same reprs, as far as those that are cut go."""
    assert seen.keys() == told.keys()
    for name, value in seen.items():
        assert value.missing is None, name
        assert value.repr is not None, name
        shown = told[name]
        if shown is None:  # the target could not print it
            assert value.truncated, name
        elif value.truncated:
            assert len(value.repr) <= CHARACTERS + len(CUT), name
            assert shown.startswith(value.repr.removesuffix(CUT)[: CHARACTERS // 2]), name
        else:
            assert value.repr == shown, name


def test_locals_of_every_kind_of_frame(stopped: Stopped) -> None:
    interp, places, facts = stopped
    frames = [read_frame_at(interp, place) for place in places]
    assert [(frame.function, frame.module) for frame in frames] == [(function, module) for function, module, _ in facts]
    for place, (function, _, told) in zip(places, facts, strict=True):
        seen = read_locals(interp, place)
        try:
            check(seen, told)
        except AssertionError as error:
            raise AssertionError(f"in {function}: {error}") from error


def test_what_is_large_is_cut_and_says_so(stopped: Stopped) -> None:
    interp, places, facts = stopped
    place = next(place for place, (function, _, _) in zip(places, facts, strict=True) if function == "large")
    seen = read_locals(interp, place)
    assert {name for name, value in seen.items() if value.truncated} == {"text", "items", "integer", "many"}


def test_slots_are_found_by_name(stopped: Stopped) -> None:
    interp, places, facts = stopped
    place = next(place for place, (function, _, _) in zip(places, facts, strict=True) if function == "cells")
    slots = dict(read_slots(interp, place))
    assert slots["gone"] == 0
    assert find_slot(interp, place, "gone") is None
    assert find_slot(interp, place, "nowhere") is None
    assert find_slot(interp, place, "second") == slots["second"]
    assert cpython.read_value(interp, slots["second"]).repr == "2"


def test_a_frame_that_cannot_be_read_says_so(stopped: Stopped, monkeypatch: pytest.MonkeyPatch) -> None:
    interp, places, _ = stopped
    assert read_locals(interp, Place(16, places[0].code, 0)) == {MORE: Value(missing="unreadable")}
    monkeypatch.setattr("lastwords.cpython.locals.NAMES", 1)
    assert list(read_locals(interp, places[1]).values())[1:] == [Value(truncated=True, missing="not available")]
    monkeypatch.setattr("lastwords.cpython.locals.NAMES", NAMES)
    monkeypatch.setattr("lastwords.cpython.locals.TOTAL", 0)
    told = read_locals(interp, places[1])
    assert all(one.type and one.repr is None and one.truncated for one in told.values())
    assert TOTAL > CHARACTERS


@pytest.mark.parametrize(
    "seen",
    [{}, {"a": Value(repr="2")}, {"a": Value(repr="1"), "b": Value(repr="1")}, {"a": Value(missing="unreadable")}],
)
def test_the_check_notices(seen: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check(seen, {"a": "1"})
    check({"a": Value(repr="1")}, {"a": "1"})
