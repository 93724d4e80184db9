"""The `concurrent.futures.Future` behind an asyncio future, or before a task.

`run_in_executor`, `to_thread`, `wrap_future`: the asyncio future waits for the concurrent one.
`run_coroutine_threadsafe`: the concurrent one waits for the task.

`_chain_future(source, destination)` (Lib/asyncio/futures.py) gives each a callback that has the other in its closure:
to the destination `_call_check_cancel`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from lastwords.asyncio_tasks.classes import Asyncio
from lastwords.asyncio_tasks.futures import is_future, is_task
from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.callables import callable_name
from lastwords.cpython.locks import find_attributes
from lastwords.cpython.pools import read_list, read_pools
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.types import type_of

CALLBACKS_LIMIT = 64
WAITING_LIMIT = 1000  # futures in the queues of pools
OF_DESTINATION = "_chain_future.<locals>._call_check_cancel"


class Wrapped(msgspec.Struct, frozen=True):
    """A concurrent future, and the worker that works for it; None while it is in its pool's queue."""

    future: int
    worker: PythonThread | None


def find_wrapped(asyncio: Asyncio, threads: Sequence[PythonThread]) -> dict[int, Wrapped]:
    """Those that pools of threads have, by the asyncio futures that wait for them. Raises ReadError."""
    found: dict[int, Wrapped] = {}
    for pool in read_pools(asyncio.interp, threads):
        known = [Wrapped(one.future, one.thread) for one in pool.workers if one.future]
        known += [Wrapped(future, None) for future in pool.waiting[:WAITING_LIMIT]]
        for one in known:
            for waiting in _find_chained(asyncio, one.future):
                found[waiting] = one
    return found


def find_source(asyncio: Asyncio, future: int) -> int | None:
    """The task whose result is to become that of a concurrent future. None where that is not told, or not readable."""
    try:
        for callback in _callbacks(asyncio, future):
            if callable_name(asyncio.interp, callback) == OF_DESTINATION:
                return next((one for one in _closure(asyncio, callback) if is_task(asyncio, one)), None)
    except ReadError:
        pass
    return None


def _find_chained(asyncio: Asyncio, future: int) -> Iterator[int]:
    """The asyncio futures in the closures of its callbacks; what cannot be read is left out."""
    try:
        for callback in _callbacks(asyncio, future):
            yield from (one for one in _closure(asyncio, callback) if is_future(asyncio, one))
    except ReadError:
        return


def _callbacks(asyncio: Asyncio, future: int) -> list[int]:
    callbacks = find_attributes(asyncio.interp, future).get("_done_callbacks")
    return read_list(asyncio.interp, callbacks, CALLBACKS_LIMIT) if callbacks else []


def _closure(asyncio: Asyncio, callback: int) -> list[int]:
    interp = asyncio.interp
    if not type_of(interp, callback).is_static("function"):
        return []
    closure = interp.number(callback, "PyFunctionObject", "func_closure")
    cells = read_tuple(interp, closure) if closure else []
    return [one for one in (interp.number(cell, "PyCellObject", "ob_ref") for cell in cells) if one]
