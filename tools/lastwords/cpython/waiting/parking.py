"""CPython's parking lot (Python/parking_lot.c, from 3.13): what a thread that sleeps on a semaphore is parked on.

`_PyParkingLot_Park` keeps a `wait_entry` on the waiter's own stack: the address that it waits for, and the semaphore
on which it sleeps meanwhile.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from lastwords.capture.captured import KernelThread
from lastwords.capture.memory import ReadError
from lastwords.capture.procfs import Mapping
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import LockState, read_lock

# The fields under whose address waiters are parked.
PARKED = (
    ("lockobject", "lock"),
    ("lockobject", "lock_lock"),  # late releases of 3.13 have a mutex there: see locks.py
    ("rlockobject", "lock.mutex"),
    ("simplequeueobject", "has_threads_waiting"),
)
HANDLE_RUNNING = 3  # ThreadHandleState


def find_parked(interp: Interpreter, thread: KernelThread, word: int, maps: Sequence[Mapping]) -> int | None:
    """The address that the thread which sleeps on `word` is parked under; None where it is not in the parking lot.

    Raises ReadError.
    """
    if not interp.has("wait_entry") or thread.sp is None or not thread.sp <= word:
        return None
    stack = find_mapping(maps, word)
    if stack is None or thread.sp < stack.start:
        return None  # not on its own stack
    entry = word - interp.layout.offset("wait_entry", "sema")
    return interp.number(entry, "wait_entry", "addr") or None


def find_mapping(maps: Sequence[Mapping], address: int) -> Mapping | None:
    """The mapping that the address is in; `maps` are by rising address."""
    at = bisect_right(maps, address, key=lambda one: one.start) - 1
    return maps[at] if at >= 0 and address < maps[at].end else None


def find_parked_lock(interp: Interpreter, parked: int) -> LockState | None:
    """The lock or queue that has its waiters under this address: told by what stands there, checked by its type."""
    for struct, field in PARKED:
        if interp.has(struct, field):
            try:
                found = read_lock(interp, parked - interp.layout.offset(struct, field))
            except ReadError:
                continue
            if found is not None and found.word == parked:
                return found
    return None


def find_parked_thread(interp: Interpreter, parked: int) -> int | None:
    """The ident of the thread whose end is waited for, if a ThreadHandle of a running thread is there. No proof:
    a handle has no type.
    """
    if not interp.has("ThreadHandle"):
        return None
    handle = parked - interp.layout.offset("ThreadHandle", "thread_is_exiting")
    try:
        is_running = interp.number(handle, "ThreadHandle", "state") == HANDLE_RUNNING
        ident = interp.number(handle, "ThreadHandle", "ident")
    except ReadError:
        return None
    return ident if is_running and interp.find_thread(ident) else None
