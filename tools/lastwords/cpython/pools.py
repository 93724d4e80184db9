"""`ThreadPoolExecutor`: what each worker works on, and the work that waits (Lib/concurrent/futures/thread.py).

A worker is a thread with a frame of `_worker`: its `work_queue` is the pool's, its `work_item` what it works on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.classes import class_of, find_lock_class, find_module_globals
from lastwords.cpython.deques import count_deque, read_deque
from lastwords.cpython.dicts import find_item
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import find_attributes, read_count
from lastwords.cpython.slots import read_slots
from lastwords.cpython.structs import LIST, POINTER
from lastwords.cpython.text import read_length
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.types import type_of

THREAD, BASE = "concurrent.futures.thread", "concurrent.futures._base"
ITEMS_LIMIT = 1000  # of a queue
WAITERS_LIMIT = 16  # of a future


class Worker(msgspec.Struct, frozen=True):
    """A worker, its pool's queue, and the future that it works for; None where it has nothing to do."""

    thread: PythonThread
    queue: int
    future: int | None


class Pool(msgspec.Struct, frozen=True):
    """The workers of one queue, and the futures that wait in it, the next first; complete: these are all."""

    queue: int
    workers: list[Worker]
    waiting: list[int]
    complete: bool


def read_pools(interp: Interpreter, threads: Sequence[PythonThread]) -> list[Pool]:
    """All pools that have a worker. Raises ReadError."""
    codes = set(_find_codes(interp))
    workers: dict[int, list[Worker]] = {}
    for thread in threads if codes else ():
        found = _read_worker(interp, thread, codes)
        if found is not None:
            workers.setdefault(found.queue, []).append(found)
    return [_read_pool(interp, queue, found) for queue, found in workers.items()]


def _find_codes(interp: Interpreter) -> Iterator[int]:
    for variables in find_module_globals(interp, THREAD):
        function = find_item(interp, variables, "_worker")
        if function and type_of(interp, function).is_static("function"):
            yield interp.number(function, "PyFunctionObject", "func_code")


def _read_worker(interp: Interpreter, thread: PythonThread, codes: set[int]) -> Worker | None:
    place = next((place for place in reversed(thread.places) if place.code in codes), None)
    if place is None:
        return None
    slots = dict(read_slots(interp, place))
    item = slots.get("work_item")
    future = find_attributes(interp, item).get("future") if item else None
    return Worker(thread, slots["work_queue"], future) if slots.get("work_queue") else None


def _read_pool(interp: Interpreter, queue: int, workers: list[Worker]) -> Pool:
    items, complete = _read_items(interp, queue)
    futures = (find_attributes(interp, item).get("future") for item in items)
    return Pool(queue, workers, [one for one in futures if one], complete)


def _read_items(interp: Interpreter, queue: int) -> tuple[list[int], bool]:
    """What is in a SimpleQueue, or, until 3.6, in a Queue; and whether that is all."""
    of_class = find_lock_class(interp, queue)
    if of_class is None or of_class.kind not in ("simple_queue", "queue"):
        raise ReadError(f"the queue of a pool at {queue:#x} is none that is known")
    if of_class.kind == "queue":
        items = find_attributes(interp, queue).get("queue", 0)
        return read_deque(interp, items, ITEMS_LIMIT), count_deque(interp, items) <= ITEMS_LIMIT
    if interp.has("simplequeueobject", "buf.items"):
        return _read_ring(interp, queue)
    start = interp.number(queue, "simplequeueobject", "lst_pos")
    found = read_list(interp, interp.number(queue, "simplequeueobject", "lst"), start + ITEMS_LIMIT)
    return found[start:], len(found) < start + ITEMS_LIMIT


def _read_ring(interp: Interpreter, queue: int) -> tuple[list[int], bool]:
    fields = ("buf.num_items", "buf.get_idx", "buf.items", "buf.items_cap")
    count, first, start, size = interp.numbers(queue, "simplequeueobject", *fields)
    if not count <= size or not first <= size:
        raise ReadError(f"the ring of the queue at {queue:#x} has {count} items from {first} on in {size}")
    places = [(first + number) % size for number in range(min(count, ITEMS_LIMIT))]
    return [interp.pointer(start + place * POINTER) for place in places], count <= ITEMS_LIMIT


def read_list(interp: Interpreter, address: int, limit: int) -> list[int]:
    """The items of a list, at most `limit`. Raises ReadError for what is no list."""
    if not interp.type_flags(address) & LIST:
        raise ReadError(f"the object at {address:#x} is no list")
    count = min(read_length(interp, address), limit)
    return interp.pointers(interp.number(address, "PyListObject", "ob_item"), count) if count else []


def read_events(interp: Interpreter, future: int) -> list[tuple[int, bool]]:
    """(the Event on which somebody in `wait()` or `as_completed()` waits for a future, whether it is set only if the
    future is done). Raises ReadError.
    """
    all_completed = [find_item(interp, one, "_AllCompletedWaiter") for one in find_module_globals(interp, BASE)]
    found: list[tuple[int, bool]] = []
    waiters = find_attributes(interp, future).get("_waiters")
    for waiter in read_list(interp, waiters, WAITERS_LIMIT) if waiters else ():
        attributes = find_attributes(interp, waiter)
        needs_all = class_of(interp, waiter) in all_completed and _is_false(interp, attributes)
        if "event" in attributes:
            found.append((attributes["event"], needs_all))
    return found


def _is_false(interp: Interpreter, attributes: dict[str, int]) -> bool:
    """An exception of another future would set the event, too."""
    return read_count(interp, attributes.get("stop_on_exception")) == 0
