"""Locks of every kind: locked or not, by whom, how often, and the address that those who wait for it sleep on.

Those made in C (Modules/_threadmodule.c, Modules/_queuemodule.c, Modules/_multiprocessing/semaphore.c) are on a
semaphore of the C library (`sem_t *`); from 3.14 on, and a Lock in late releases of 3.13, they are one byte (PyMutex),
and the waiters are in the parking lot (Python/parking_lot.c) under its address. Those of Python (Lib/threading.py,
Lib/queue.py) stand on these.

A release's names (`_lock`, 2.7's `_Condition__lock`) are tried one after the other. What a library has put in place
of a lock (gevent) is not told here.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_attributes
from lastwords.cpython.classes import LockClass, find_lock_class, is_deque
from lastwords.cpython.dicts import named
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.numbers import read_int
from lastwords.cpython.structs import INT, LIST, LONG
from lastwords.cpython.text import read_length
from lastwords.cpython.types import type_of

NESTING_LIMIT = 8  # a lock in a Condition in an Event: what is nested deeper is not what it seems
SEMAPHORE_VALUE = 0x7FFF_FFFF  # of the first word of glibc's and musl's sem_t; the highest bit is musl's own
MUTEX_LOCKED = 1  # _Py_LOCKED of Include/cpython/lock.h
HANDLE_STARTING, HANDLE_RUNNING = 2, 3  # ThreadHandleState of Modules/_threadmodule.c; 1: not started, 4: done
RECURSIVE = 0  # RECURSIVE_MUTEX of Modules/_multiprocessing/multiprocessing.h

Attributes = dict[str, int]


class LockState(msgspec.Struct, frozen=True):
    """A lock as it stood. What the release does not keep, and what does not fit the kind, is None.

    kind: "lock", "rlock", "condition", "event", "semaphore", "barrier", "queue", "simple_queue", "thread",
        "thread_handle", "future", "module_lock"; of multiprocessing "process_lock", which one at a time may have,
        "process_semaphore", "process_condition", "process_event", "process_barrier", "process_queue"
    locked: whether somebody has it; of a semaphore: nothing is left; of a thread or its handle: it has not ended
    owner_ident: the ident of the thread that has it; of a thread or its handle: its own
    count: how often an RLock is held, what a semaphore has left, how many wait on a condition or are in a barrier,
        what is in a queue, 1 for an event that is set
    word: the address that those who wait sleep on: a futex word's, or where they park in CPython's parking lot
    lock: the lock made in C (or RLock) that it stands on: a condition's `_lock`, a queue's `mutex`
    taker_ident: of a lock of processes, the thread of this one that took it last, where it has not given it back;
        another process may have done that for it
    limit, unfinished: a queue's `maxsize`, None for any number, and `unfinished_tasks`
    """

    address: int
    kind: str
    type: str
    locked: bool | None = None
    owner_ident: int | None = None
    count: int | None = None
    word: int | None = None
    lock: int | None = None
    limit: int | None = None
    unfinished: int | None = None
    taker_ident: int | None = None


def read_lock(interp: Interpreter, address: int) -> LockState | None:
    """The lock at `address`; None for any other object. Raises ReadError."""
    return _read(interp, address, NESTING_LIMIT)


def find_attributes(interp: Interpreter, address: int) -> Attributes:
    """An instance's own attributes by name; 2.7's private ones without their class: `_Condition__lock` is `_lock`.

    Raises ReadError.
    """
    found = dict(named(interp, read_attributes(interp, address)))
    short = {f"_{name.partition('__')[2]}": value for name, value in found.items() if _is_private(name)}
    return {**short, **found}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and "__" in name[1:]


def read_count(interp: Interpreter, address: int | None) -> int | None:
    """A number of the target, or how much is in a list or deque; None for anything else. Raises ReadError."""
    if not address:
        return None
    flags = interp.type_flags(address)
    if flags & (INT | LONG):
        return read_int(interp, address)
    if flags & LIST:
        return read_length(interp, address)
    if is_deque(interp, address):
        has_len = interp.has("dequeobject", "len")
        return interp.number(address, "dequeobject", "len") if has_len else read_length(interp, address)
    return None


def is_sem_free(interp: Interpreter, word: int) -> bool:
    """Whether a `sem_t` has something left: its first 32 bits are the value, in glibc since 2.1 and in musl."""
    return bool(int.from_bytes(interp.memory.read(word, 4), "little") & SEMAPHORE_VALUE)


def _read(interp: Interpreter, address: int, nesting: int) -> LockState | None:
    found = find_lock_class(interp, address)
    if found is None:
        return None
    if nesting == 0:
        raise ReadError(f"the lock at {address:#x} stands on too many others")
    if found.is_native:
        return NATIVE_READERS[found.kind](interp, address, found.name)
    return _read_python(interp, address, found, nesting)


def _read_plain(interp: Interpreter, address: int, name: str) -> LockState:
    mutex = find_mutex(interp, address)
    if mutex is not None:
        locked = bool(interp.memory.read(mutex, 1)[0] & MUTEX_LOCKED)
        return LockState(address, "lock", name, locked, word=mutex)
    word = interp.number(address, "lockobject", "lock_lock")
    return LockState(address, "lock", name, not is_sem_free(interp, word), word=word)


def find_mutex(interp: Interpreter, address: int) -> int | None:
    """The PyMutex in a `lockobject`; None where it has a pointer to a semaphore.

    3.13 changed from this to that between its patch releases: an object too small for the old fields is a new one.
    """
    if interp.has("lockobject", "lock"):
        return interp.at(address, "lockobject", "lock")
    size = interp.number(type_of(interp, address).address, "PyTypeObject", "tp_basicsize")
    return interp.at(address, "lockobject", "lock_lock") if size < interp.layout.size("lockobject") else None


def _read_recursive(interp: Interpreter, address: int, name: str) -> LockState:
    if interp.has("rlockobject", "lock.mutex"):
        word = interp.at(address, "rlockobject", "lock.mutex")
        locked = bool(interp.number(address, "rlockobject", "lock.mutex") & MUTEX_LOCKED)
        owner = interp.number(address, "rlockobject", "lock.thread")
        count = interp.number(address, "rlockobject", "lock.level") + 1 if locked else 0
    else:
        word = interp.number(address, "rlockobject", "rlock_lock")
        locked = not is_sem_free(interp, word)
        count = interp.number(address, "rlockobject", "rlock_count")
        owner = interp.number(address, "rlockobject", "rlock_owner") if count else 0
    return LockState(address, "rlock", name, locked, (owner or None) if locked else None, count, word)


def _read_handle(interp: Interpreter, address: int, name: str) -> LockState:
    handle = interp.number(address, "PyThreadHandleObject", "handle")
    state = interp.number(handle, "ThreadHandle", "state")
    ident = interp.number(handle, "ThreadHandle", "ident") if state >= HANDLE_RUNNING else 0
    word = interp.at(handle, "ThreadHandle", "thread_is_exiting")
    alive = state in (HANDLE_STARTING, HANDLE_RUNNING)
    return LockState(address, "thread_handle", name, alive, ident or None, word=word)


def _read_simple_queue(interp: Interpreter, address: int, name: str) -> LockState:
    if interp.has("simplequeueobject", "has_threads_waiting"):
        word = interp.at(address, "simplequeueobject", "has_threads_waiting")
        count = interp.number(address, "simplequeueobject", "buf.num_items")
    else:
        word = interp.number(address, "simplequeueobject", "lock")
        items = interp.number(address, "simplequeueobject", "lst")
        count = read_length(interp, items) - interp.number(address, "simplequeueobject", "lst_pos")
    return LockState(address, "simple_queue", name, count=count, word=word)


def _read_process_lock(interp: Interpreter, address: int, name: str) -> LockState:
    """A semaphore in memory that processes share. Who holds it is known only of a thread of this process."""
    word = interp.number(address, "SemLockObject", "handle")
    count = interp.signed(address, "SemLockObject", "count")  # how often it was taken here, less how often given back
    taker = interp.number(address, "SemLockObject", "last_tid") if count > 0 else None
    owner = taker if interp.number(address, "SemLockObject", "kind") == RECURSIVE else None
    kind = "process_lock" if interp.number(address, "SemLockObject", "maxvalue") == 1 else "process_semaphore"
    return LockState(address, kind, name, not is_sem_free(interp, word), owner, count, word, taker_ident=taker)


NATIVE_READERS: dict[str, Callable[[Interpreter, int, str], LockState]] = {
    "lock": _read_plain,
    "rlock": _read_recursive,
    "thread_handle": _read_handle,
    "simple_queue": _read_simple_queue,
    "process_lock": _read_process_lock,
}
# The attributes of an instance of each class of Python: (the lock that it stands on, its count).
BELOW = {
    "rlock": ("_block", "_count"),
    "condition": ("_lock", "_waiters"),
    "event": ("_cond", "_flag"),
    "semaphore": ("_cond", "_value"),
    "barrier": ("_cond", "_count"),
    "queue": ("mutex", "queue"),
    "future": ("_condition", ""),
    "module_lock": ("wakeup", "count"),
    "process_lock": ("_semlock", ""),
    "process_condition": ("_wait_semaphore", ""),
    "process_event": ("_cond", ""),
    "process_barrier": ("_cond", ""),
    "process_queue": ("_cond", ""),  # JoinableQueue's: of items that are not done
}
# What Thread.join waits for: from 3.14, in 3.13, to 3.12, and 2.7's condition `_Thread__block`.
HANDLES = ("_os_thread_handle", "_handle", "_tstate_lock", "_block")


def _read_python(interp: Interpreter, address: int, of_class: LockClass, nesting: int) -> LockState | None:
    attributes = find_attributes(interp, address)
    kind, name = of_class.kind, of_class.name
    if kind == "thread":
        return _read_thread(interp, address, name, attributes, nesting)
    lock, count = (attributes.get(one) for one in BELOW[kind])
    below = _read(interp, lock, nesting - 1) if lock else None
    number = read_count(interp, count)
    if kind in ("rlock", "module_lock"):
        return _read_owned(interp, LockState(address, kind, name, count=number), attributes, below)
    if kind == "process_lock" and below:
        return replace(below, address=address, type=name, lock=below.address)
    if kind.startswith("process_"):
        word, lowest = (below.word, below.lock or below.address) if below else (None, None)
        return LockState(address, kind, name, word=word, lock=lowest)
    is_queue = kind == "queue"
    limit = read_count(interp, attributes.get("maxsize")) if is_queue else None
    return LockState(
        address,
        kind,
        name,
        locked=_is_locked(kind, number, below),
        owner_ident=below.owner_ident if below and kind == "condition" else None,
        count=number,
        lock=_find_lowest(below),
        limit=limit if limit and limit > 0 else None,
        unfinished=read_count(interp, attributes.get("unfinished_tasks")) if is_queue else None,
    )


def _find_lowest(below: LockState | None) -> int | None:
    """The lock made in C, or the RLock, at the bottom; None over one that is not ours."""
    if below is None or below.kind in ("lock", "rlock", "thread_handle"):
        return below.address if below else None
    return below.lock


def _is_locked(kind: str, count: int | None, below: LockState | None) -> bool | None:
    if kind == "semaphore":
        return None if count is None else count == 0
    return below.locked if below and kind == "condition" else None


def _read_owned(
    interp: Interpreter, state: LockState, attributes: Attributes, below: LockState | None
) -> LockState | None:
    """`threading._RLock` and `_ModuleLock`, which keep their owner's ident. None over a lock that is not ours."""
    if below is None:
        return None
    owner = read_count(interp, attributes.get("_owner") or attributes.get("owner"))
    locked = below.locked if state.kind == "rlock" else bool(owner)
    return LockState(state.address, state.kind, state.type, locked, owner, state.count, below.word, below.address)


def _read_thread(interp: Interpreter, address: int, name: str, attributes: Attributes, nesting: int) -> LockState:
    lock = next((attributes[one] for one in HANDLES if one in attributes), None)
    below = _read(interp, lock, nesting - 1) if lock else None
    ident = read_count(interp, attributes.get("_ident"))
    stopped = read_count(interp, attributes.get("_is_stopped") or attributes.get("_stopped"))
    alive = below.locked if below and below.kind != "condition" else ident is not None and stopped == 0
    word = below.word if below else None
    return LockState(address, "thread", name, alive, ident, word=word, lock=_find_lowest(below))
