"""What an object of gevent's says of who waits for it: `_links`, `getters`, `greenlet`, `args`.

AbstractLinkable (Event, AsyncResult, Semaphore) and Greenlet keep in `_links` what is called when they are ready: the
bound `switch` of a greenlet that waits, or of its Waiter. A Waiter knows its greenlet for as long as that is in `get`.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.deques import is_deque, read_deque
from lastwords.cpython.holding.with_blocks import read_bound
from lastwords.cpython.numbers import read_int
from lastwords.cpython.sets import read_set
from lastwords.cpython.structs import INT, LIST, LONG, POINTER, TUPLE
from lastwords.cpython.text import read_length
from lastwords.cpython.types import type_of
from lastwords.greenlets.cython_fields import Fields, read_size

LINKS_LIMIT = 100_000
SIZE_LIMIT = 1024  # bytes of an instance of gevent's


def read_links(fields: Fields, address: int) -> list[int]:
    """The callables in `_links` of an object; where that has no name, all that is in its lists. Raises ReadError."""
    named = fields.read(address, "_links")
    if named:
        return read_container(fields, named)
    return [item for one in _containers(fields, address) for item in _read_perhaps(fields, one)]


def _read_perhaps(fields: Fields, address: int) -> list[int]:
    """The items of what looks like a container; none where its items are not to be had."""
    try:
        return read_container(fields, address)
    except ReadError:
        return []


def read_linked(fields: Fields, address: int) -> set[int]:
    """The greenlets and Waiters whose `switch` is in `_links`. Raises ReadError."""
    return {_bound(fields, one) for one in read_links(fields, address)} - {0}


def _bound(fields: Fields, item: int) -> int:
    """0 of what is no object: a word of an instance may be the address of a list that has long been freed."""
    try:
        return read_bound(fields.interp, item)
    except ReadError:
        return 0


def read_queued(fields: Fields, address: int) -> tuple[set[int], set[int]]:
    """The Waiters in a queue's `getters`, and those in its `putters`. Raises ReadError."""
    found = [one for name in ("getters", "putters") if (one := fields.read(address, name))]
    if not found:  # two fields without getters, side by side
        found = list(_deques(fields, address))[-2:]
    sets = [set(_read_waiters(fields, one)) for one in found]
    return (sets[0] if sets else set(), sets[1] if len(sets) > 1 else set())


def _read_waiters(fields: Fields, address: int) -> Iterator[int]:
    """Those that put something into a Channel stand there behind it, in a tuple."""
    for item in read_container(fields, address):
        is_tuple = item and type_of(fields.interp, item).is_static("tuple")
        yield from read_tuple(fields.interp, item, LINKS_LIMIT) if is_tuple else [item]


def read_container(fields: Fields, address: int) -> list[int]:
    """The items of a list, tuple, deque or set; none of any other object. Raises ReadError."""
    interp = fields.interp
    kind = type_of(interp, address)
    if kind.flags & LIST:
        count = min(read_length(interp, address), LINKS_LIMIT)
        return interp.pointers(interp.number(address, "PyListObject", "ob_item"), count) if count else []
    if kind.flags & TUPLE:
        return read_tuple(interp, address, LINKS_LIMIT)
    if is_deque(interp, kind):
        return read_deque(interp, address, LINKS_LIMIT)
    return read_set(interp, address) if kind.is_static("set") else []


def read_own_words(fields: Fields, address: int) -> list[int]:
    """The words of an instance behind its head, which its class gives no names. Raises ReadError."""
    interp = fields.interp
    size = min(read_size(interp, type_of(interp, address)), SIZE_LIMIT)
    head = interp.at(0, "PyObject", "ob_type") + POINTER
    return interp.pointers(address + head, max(size - head, 0) // POINTER)


def read_number(fields: Fields, address: int, name: str) -> int | None:
    """A `cdef public int`, or an attribute that is a number; None where there is none. Raises ReadError."""
    number = fields.read_int(address, name)
    if number is not None:
        return number
    kept = fields.read(address, name)
    return read_int(fields.interp, kept) if kept and fields.interp.type_flags(kept) & (INT | LONG) else None


def _containers(fields: Fields, address: int) -> Iterator[int]:
    """The lists, sets and deques that an instance has."""
    for word in read_own_words(fields, address):
        if not word or word % POINTER:
            continue
        try:
            kind = type_of(fields.interp, word)
            if kind.is_static("list") or kind.is_static("set") or is_deque(fields.interp, kind):
                yield word
        except ReadError:
            continue


def _deques(fields: Fields, address: int) -> Iterator[int]:
    """Those of a queue: `queue` itself may be one, too, and comes first."""
    for word in _containers(fields, address):
        if not type_of(fields.interp, word).is_static("list"):
            yield word
