"""From the lock on which a thread sleeps up to what it waits for: a waiter's lock, its condition, its event, ...

Every step up is taken only if the frame runs the method of that class, and its `self` stands on what was found below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.classes import find_lock_class
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import find_attributes
from lastwords.cpython.slots import find_slot
from lastwords.cpython.waiting.waiting_functions import Waiting

LEVELS_LIMIT = 12
# Which attributes of `self` the thread may sleep on in these methods.
STANDS_ON = {
    "rlock": ("_block",),
    "event": ("_cond",),
    "semaphore": ("_cond",),
    "barrier": ("_cond",),
    "thread": ("_os_thread_handle", "_handle", "_tstate_lock", "_block"),
    "queue": ("not_empty", "not_full", "all_tasks_done"),
    "future": ("_condition",),
    "module_lock": ("wakeup", "lock"),
    "process_lock": ("_semlock",),
    "process_condition": ("_wait_semaphore",),
    "process_event": ("_cond",),
    "process_barrier": ("_cond",),
    "process_queue": ("_cond",),
}


class Level(msgspec.Struct, frozen=True):
    """What is waited for: `kind` and `address` of a lock (see LockState), and the function that waits for it."""

    kind: str
    address: int
    function: str | None = None


def read_levels(
    interp: Interpreter, functions: Mapping[int, Waiting], places: Sequence[Place], lowest: Level
) -> list[Level]:
    """`lowest`, then what stands on it, as far as the frames tell. What cannot be read ends the list."""
    levels = [lowest]
    for place in places[:LEVELS_LIMIT]:
        waiting = functions.get(place.code)
        if waiting is None or waiting.kind == "process":
            break
        try:
            address = find_slot(interp, place, "self")
            if not address or not _stands_on(interp, place, waiting, address, levels[-1].address):
                break
            of_class = find_lock_class(interp, address)
            if of_class is None or not _is_method_of(waiting, of_class.kind):
                break
        except ReadError:
            break
        level = Level(of_class.kind, address, waiting.function)
        levels = [*levels[:-1], level] if address == levels[-1].address else [*levels, level]
    return levels


def _is_method_of(waiting: Waiting, kind: str) -> bool:
    """A barrier of processes waits by the function that one of threads has."""
    return kind == waiting.kind or (waiting.kind == "barrier" and kind == "process_barrier")


def _stands_on(interp: Interpreter, place: Place, waiting: Waiting, address: int, below: int) -> bool:
    if address == below:  # Condition.wait_for calls wait
        return True
    if waiting == Waiting("condition", "wait"):
        return find_slot(interp, place, "waiter") == below
    attributes = find_attributes(interp, address)
    found = [attributes[name] for name in STANDS_ON.get(waiting.kind, ()) if name in attributes]
    if waiting.kind == "process_condition":  # its semaphore is one of Python around the one that is slept on
        found += [semaphore for one in found if (semaphore := find_attributes(interp, one).get("_semlock"))]
    return below in found


def find_polling(interp: Interpreter, functions: Mapping[int, Waiting], places: Sequence[Place]) -> Level | None:
    """The lock of a thread that sleeps in Condition.wait itself, as 2.7 does with a timeout: it looks now and then.

    Raises ReadError.
    """
    if not places or functions.get(places[0].code) != Waiting("condition", "wait"):
        return None
    waiter = find_slot(interp, places[0], "waiter")
    return Level("lock", waiter) if waiter else None
