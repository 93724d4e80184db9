"""Event loops: in which thread they run, and what they still have to do (Lib/asyncio/base_events.py).

Of a loop made in C (uvloop) only the type is told.
"""

from __future__ import annotations

import msgspec

from lastwords.asyncio_tasks.classes import Asyncio
from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import find_dict, read_attributes
from lastwords.cpython.deques import count_deque, is_deque
from lastwords.cpython.dicts import named
from lastwords.cpython.members import read_members
from lastwords.cpython.numbers import read_float, read_int
from lastwords.cpython.structs import INT, LIST, LONG, MANAGED_DICT
from lastwords.cpython.text import read_length
from lastwords.cpython.types import type_name, type_of

HANDLES_LIMIT = 100_000
TOGETHER = 96  # bytes of a handle that are read in one go with others


class LoopState(msgspec.Struct, frozen=True):
    """A loop as it stood. What it does not keep, and what could not be read, is None.

    ident: of the thread in which it runs; None: it does not run
    ready: callbacks that are to be called at once
    timers: when others are to be called, by the loop's own clock (time.monotonic); those that were cancelled are not
        among them
    """

    address: int
    type: str
    ident: int | None = None
    ready: int | None = None
    timers: list[float] | None = None
    error: str | None = None


def read_loop(asyncio: Asyncio, address: int) -> LoopState:
    """The loop at `address`. Raises ReadError where not even its type can be read."""
    name = type_name(asyncio.interp, type_of(asyncio.interp, address))
    try:
        own = _read_own(asyncio, address)
        return LoopState(
            address,
            name,
            ident=_read_ident(asyncio, own.get("_thread_id")),
            ready=_count_ready(asyncio, own.get("_ready")),
            timers=_read_timers(asyncio, own.get("_scheduled")),
        )
    except ReadError as error:
        return LoopState(address, name, error=str(error))


def _read_own(asyncio: Asyncio, address: int) -> dict[str, int]:
    interp = asyncio.interp
    kind = type_of(interp, address)
    has_dict = kind.flags & MANAGED_DICT or find_dict(interp, address, kind)
    return dict(named(interp, read_attributes(interp, address))) if has_dict else {}


def _read_ident(asyncio: Asyncio, address: int | None) -> int | None:
    is_number = address and asyncio.interp.type_flags(address) & (INT | LONG)
    return read_int(asyncio.interp, address) if address and is_number else None


def _count_ready(asyncio: Asyncio, address: int | None) -> int | None:
    is_queue = address and is_deque(asyncio.interp, type_of(asyncio.interp, address))
    return count_deque(asyncio.interp, address) if address and is_queue else None


def _read_timers(asyncio: Asyncio, address: int | None) -> list[float] | None:
    interp = asyncio.interp
    if not address or not interp.type_flags(address) & LIST:
        return None
    count = min(read_length(interp, address), HANDLES_LIMIT)
    handles = interp.pointers(interp.number(address, "PyListObject", "ob_item"), count) if count else []
    interp.memory.read_many([(one, TOGETHER) for one in handles])
    whens = (read_when(asyncio, one) for one in handles)
    return [when for when in whens if when is not None]


def read_when(asyncio: Asyncio, handle: int) -> float | None:
    """When a TimerHandle is due; None where it was cancelled, or is none. Raises ReadError."""
    interp = asyncio.interp
    members = dict(read_members(interp, handle, type_of(interp, handle)))
    when, cancelled = members.get("_when"), members.get("_cancelled")
    if not when or (cancelled and _read_ident(asyncio, cancelled)):
        return None
    if type_of(interp, when).is_static("float"):
        return read_float(interp, when)
    number = _read_ident(asyncio, when)
    return None if number is None else float(number)
