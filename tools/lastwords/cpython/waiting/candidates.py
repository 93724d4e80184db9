"""The locks that the frames of a thread know: among these is the one that it waits for.

Every word of a frame is looked at, its value stack too, above what is live as well: who calls `lock.acquire()` has
the lock there. A stale word does no harm, because the address on which the waiter sleeps is known, and only a living
lock of that address is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_attributes, read_tuple
from lastwords.cpython.classes import find_lock_class
from lastwords.cpython.dicts import find_item
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import LockState, read_lock
from lastwords.cpython.slots import read_slot_names
from lastwords.cpython.structs import POINTER, TYPE, Structs
from lastwords.cpython.text import read_name
from lastwords.cpython.types import type_of

FRAMES = 4  # innermost ones: join is two frames above the lock that it waits for
WORDS_LIMIT = 4096  # of a frame
ATTRIBUTES_LIMIT = 1024  # of an object
INSTANCES_LIMIT = 32  # of a frame, whose attributes are looked at
LOOKS_LIMIT = 5000  # objects that are looked at for one frame
NAMES_LIMIT = 1024  # of a code object
NESTING = 3  # a queue's condition's lock
COUNT_LIMIT = 1 << 32  # references
TAGGED = 7  # an object's address is a multiple of 8


def find_lock_of_word(interp: Interpreter, places: Sequence[Place], word: int) -> LockState | None:
    """The lock whose waiters sleep on `word`, if one of the innermost frames knows it.

    Looked for in the frames' slots, those made in C first, then in the attributes of what is there, then among the
    globals that are named.
    """
    for search in (_native_in_slots, _in_slots, _in_attributes, _in_globals):
        for place in places[:FRAMES]:
            found = _first_with_word(interp, search(interp, place), word)
            if found is not None:
                return found
    return None


def _first_with_word(interp: Interpreter, objects: Iterator[int], word: int) -> LockState | None:
    for address in islice(_tolerant(objects), LOOKS_LIMIT):
        try:
            found = _with_word(interp, address, word, NESTING)
        except ReadError:  # whatever a stale slot led to
            continue
        if found is not None:
            return found
    return None


def _tolerant(objects: Iterator[int]) -> Iterator[int]:
    """As far as they can be read."""
    try:
        yield from objects
    except ReadError:
        return


def _with_word(interp: Interpreter, address: int, word: int, nesting: int) -> LockState | None:
    """The lock itself, or the one that it stands on."""
    state = read_lock(interp, address)
    if state is None or not is_alive(interp, address):
        return None
    if state.word == word:
        return state
    return _with_word(interp, state.lock, word, nesting - 1) if state.lock and nesting else None


def is_alive(structs: Structs, address: int) -> bool:
    """Whether the object has a count of references. One that was freed has none, or the allocator's pointer there,
    while its type still stands behind; and another lock may have got the semaphore that it had.
    """
    count = structs.pointer(structs.at(address, "PyObject", "ob_type") - POINTER)
    return 0 < count < COUNT_LIMIT


def _native_in_slots(interp: Interpreter, place: Place) -> Iterator[int]:
    """Nearly always it is one of these, and they are read at once."""
    for address in _in_slots(interp, place):
        try:
            of_class = find_lock_class(interp, address)
        except ReadError:
            continue
        if of_class is not None and of_class.is_native:
            yield address


def _in_slots(interp: Interpreter, place: Place) -> Iterator[int]:
    for word in read_words(interp, place):
        if word and not word & TAGGED:
            yield from _unwrap(interp, word)


def read_words(interp: Interpreter, place: Place) -> list[int]:
    """All words of a frame, untagged: its variables, then its value stack."""
    count = len(read_slot_names(interp, place.code)) + interp.number(place.code, "PyCodeObject", "co_stacksize")
    if interp.has("_PyInterpreterFrame", "localsplus"):
        start = interp.at(place.frame, "_PyInterpreterFrame", "localsplus")
    else:
        start = interp.at(place.frame, "PyFrameObject", "f_localsplus")
    mask = interp.layout.formats.pointer_mask
    return [word & mask for word in interp.pointers(start, min(count, WORDS_LIMIT))]


def _unwrap(interp: Interpreter, address: int) -> Iterator[int]:
    """The object; of a bound method what it is bound to, of a cell what is in it."""
    try:
        kind = type_of(interp, address)
        if kind.is_static("builtin_function_or_method") or kind.is_static("builtin_method"):
            found = interp.number(address, "PyCFunctionObject", "m_self")
        elif kind.is_static("method") or kind.is_static("instancemethod"):
            found = interp.number(address, "PyMethodObject", "im_self")
        elif kind.is_static("cell"):
            found = interp.number(address, "PyCellObject", "ob_ref")
        else:
            found = address
    except ReadError:
        return
    if found:
        yield found


def _in_attributes(interp: Interpreter, place: Place) -> Iterator[int]:
    for address in islice(_instances(interp, place), INSTANCES_LIMIT):
        try:
            values = _read_values(interp, address)
        except ReadError:
            continue
        for value in values:
            yield from _unwrap(interp, value)


def _instances(interp: Interpreter, place: Place) -> Iterator[int]:
    """The objects in the slots that may have attributes of their own, each once."""
    for address in dict.fromkeys(_in_slots(interp, place)):
        try:
            if _is_instance(interp, address):
                yield address
        except ReadError:
            continue


def _is_instance(interp: Interpreter, address: int) -> bool:
    """Whether it is no class, and of a class of Python's: not an object of the interpreter's own."""
    kind = type_of(interp, address)
    return not kind.flags & TYPE and (kind.is_heap or kind.is_static("instance"))


def _read_values(interp: Interpreter, address: int) -> list[int]:
    return [value for _, value in read_attributes(interp, address)[:ATTRIBUTES_LIMIT]]


def _in_globals(interp: Interpreter, place: Place) -> Iterator[int]:
    struct = "_PyInterpreterFrame" if interp.has("_PyInterpreterFrame") else "PyFrameObject"
    variables = interp.number(place.frame, struct, "f_globals")
    names = read_tuple(interp, interp.number(place.code, "PyCodeObject", "co_names"), NAMES_LIMIT)
    for name in names:
        found = find_item(interp, variables, read_name(interp, name, NAMES_LIMIT))
        if found:
            yield from _unwrap(interp, found)
            yield from _read_values(interp, found) if _is_instance(interp, found) else ()
