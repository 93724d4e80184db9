"""asyncio's locks, events and queues (Lib/asyncio/locks.py, queues.py)."""

from __future__ import annotations

from lastwords.asyncio_tasks.classes import Asyncio
from lastwords.cpython.locks import LockState, find_attributes, read_count
from lastwords.cpython.types import type_name, type_of

# The attribute that says how many, or whether: a semaphore's rest, what is in a queue, 1 for an event that is set.
COUNTS = {"event": "_value", "semaphore": "_value", "queue": "_queue", "barrier": "_count"}


def read_state(asyncio: Asyncio, address: int, kind: str) -> LockState:
    """The lock or queue at `address`, of which `kind` is known. Raises ReadError."""
    interp = asyncio.interp
    own = find_attributes(interp, address)
    name = type_name(interp, type_of(interp, address))
    count = read_count(interp, own.get(COUNTS.get(kind, "")))
    locked: bool | None = None
    lock = own.get("_lock") if kind == "condition" else None
    if kind == "lock":
        locked = bool(read_count(interp, own.get("_locked")))
    elif kind == "semaphore" and count is not None:
        locked = count <= 0
    elif lock and "lock" in asyncio.kinds(lock):
        locked = bool(read_count(interp, find_attributes(interp, lock).get("_locked")))
    return LockState(address, kind, name, locked, count=count, lock=lock)
