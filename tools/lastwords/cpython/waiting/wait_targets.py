"""Whom a thread waits for where no frame of its own says so: the thread behind a lock, the child behind a sleep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lastwords.capture.memory import ReadError
from lastwords.cpython.classes import find_module_globals
from lastwords.cpython.dicts import find_item, read_items
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import find_attributes, read_count, read_lock
from lastwords.cpython.numbers import read_float
from lastwords.cpython.slots import find_slot
from lastwords.cpython.structs import INT, LONG
from lastwords.cpython.types import type_of
from lastwords.cpython.waiting.waiting_functions import Waiting

ACTIVE_LIMIT = 100_000
PROCESS_FRAMES = 6  # subprocess and multiprocessing poll a child through a few functions of their own


def read_threads_by_word(interp: Interpreter) -> dict[int, int]:
    """The Thread objects of `threading._active`, by the address on which those sleep who join them.

    `threading._shutdown` has no more than that: a lock (to 3.12), or a handle that only C code knows (3.13).
    """
    found: dict[int, int] = {}
    try:
        for variables in find_module_globals(interp, "threading"):
            active = find_item(interp, variables, "_active")
            for _, thread in read_items(interp, active, ACTIVE_LIMIT) if active else ():
                word = _find_word(interp, thread)
                if word:
                    found[word] = thread
    except ReadError:
        pass
    return found


def _find_word(interp: Interpreter, thread: int) -> int | None:
    try:
        state = read_lock(interp, thread)
    except ReadError:
        return None
    return state.word if state is not None and state.kind == "thread" else None


def find_child(
    interp: Interpreter, functions: Mapping[int, Waiting], places: Sequence[Place]
) -> tuple[int, float | None] | None:
    """The pid of the child whose end a Popen waits for, and until when; None where the frames show no such thing."""
    for place in places[:PROCESS_FRAMES]:
        waiting = functions.get(place.code)
        if waiting is not None and waiting.kind == "process":
            try:
                popen = find_slot(interp, place, "self")
                pid = read_count(interp, find_attributes(interp, popen).get("pid")) if popen else None
                return (pid, read_deadline(interp, place)) if pid else None
            except ReadError:
                return None
    return None


def read_deadline(interp: Interpreter, place: Place) -> float | None:
    """`endtime` of a function that looks again and again: the time of the epoch, as 2.7 counts. None of the others,
    whose clock began at some other moment. Raises ReadError.
    """
    end = find_slot(interp, place, "endtime")
    is_epoch = interp.layout.formats.text == "bytes"
    if not end or not is_epoch:
        return None
    if type_of(interp, end).is_static("float"):
        return read_float(interp, end)
    return float(read_count(interp, end) or 0) if interp.type_flags(end) & (INT | LONG) else None
