"""A gevent hub's loop: its timers, the descriptors that it watches, the callbacks that it has yet to run.

Below: libev as gevent uses it by Cython; loops by way of CFFI are in cffi_loop.py.

`struct ev_loop` (ev_vars.h) begins alike in every release that gevent has brought along; where its timers are differs
by how it was built. They are told by what they are: a heap each of whose watchers knows its own place in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

from lastwords.capture.elf_memory import read_end
from lastwords.capture.memory import ReadError
from lastwords.capture.procfs import Mapping
from lastwords.cpython.structs import LIST, POINTER
from lastwords.cpython.types import type_of
from lastwords.greenlets.cffi_loop import CLOCKS, is_cffi_loop, is_clocks, read_cffi_loop
from lastwords.greenlets.cython_fields import Fields, read_size
from lastwords.greenlets.loop_model import Callback, LoopState, Watcher
from lastwords.greenlets.waits_links import read_container, read_own_words
from lastwords.greenlets.waits_watchers import SIZES, read_call, read_watcher

ACTIVE = struct.Struct("<180xi")  # activecnt
DESCRIPTORS = struct.Struct("<216xQi")  # anfds, anfdmax
VARIED = range(232, 1024, POINTER)  # where `timers` may be
HEAP_HEAD = 3  # HEAP0: the heap's first element has this index
ENTRY = struct.Struct("<dQ")  # ANHE: at, w
DESCRIPTOR_SIZE = 16  # of ANFD, whose first word is its first watcher
NEXT = 24  # of a watcher in a list: `next`, behind what all have
WATCHERS_LIMIT = 1_000_000
MODULES = ("corecext.", "core.")  # libev is a part of gevent's own extension module
DATA_LIMIT = 1 << 20  # bytes of its variables
CHAIN_LIMIT = 1000  # watchers of one descriptor


def read_loop_state(
    fields: Fields,
    hub: int,
    classes: dict[int, str],
    clock_start: float | None = None,
    maps: Sequence[Mapping] = (),
) -> LoopState | None:
    """The loop of a hub; None before it has one, or where it is another kind of loop. Raises ReadError.

    clock_start: the time of the epoch at which the monotonic clock was 0, for loops that do not know it
    """
    loop = fields.read(hub, "loop") or fields.read(hub, "_loop")
    if not loop or type_of(fields.interp, loop).is_static("NoneType"):
        return None
    if is_cffi_loop(fields, loop):
        return read_cffi_loop(fields, loop, classes, clock_start)
    for word in read_own_words(fields, loop):
        with suppress(ReadError, struct.error):
            if word and not word % POINTER and is_clocks(fields.interp.memory.read(word, CLOCKS.size)):
                found = _read(fields, loop, word, classes)
                _add_signals(found, fields, word, classes, maps)
                return found
    return None


def _read(fields: Fields, loop: int, pointer: int, classes: dict[int, str]) -> LoopState:
    memory = fields.interp.memory
    (active,) = ACTIVE.unpack(memory.read(pointer, ACTIVE.size))
    _, _, now, epoch = CLOCKS.unpack(memory.read(pointer, CLOCKS.size))
    found = LoopState(loop, epoch, now, active)
    owners = _Owners(fields, classes)
    for name, read in (("timers", _read_timers), ("descriptors", _read_descriptors)):
        try:
            getattr(found, name).extend(owners.find(read(fields, pointer), name))
        except ReadError as error:
            found.problems.append(f"its {name}: {error}")
    try:
        found.callbacks.extend(_read_callbacks(fields, loop, classes))
    except ReadError as error:
        found.problems.append(f"its callbacks: {error}")
    return found


class _Owners:
    """From libev's struct to the object of gevent's that it is in."""

    def __init__(self, fields: Fields, classes: dict[int, str]) -> None:
        self.fields, self.classes = fields, classes
        self.offsets: dict[str, set[int]] = {}
        for of_class, kind in classes.items():
            with suppress(ReadError):
                if kind in SIZES:
                    size = fields.interp.number(of_class, "PyTypeObject", "tp_basicsize")
                    self.offsets.setdefault(kind, set()).add(size - SIZES[kind])

    def find(self, watchers: Iterator[int], name: str) -> Iterator[Watcher]:
        """Those that are of an object; libev has some of its own, gevent's loop, too."""
        kind = {"timers": "timer", "descriptors": "io"}.get(name, name)
        for watcher in watchers:
            for offset in self.offsets.get(kind, ()):
                with suppress(ReadError):
                    address = watcher - offset
                    if self.classes.get(self.fields.interp.number(address, "PyObject", "ob_type")) == kind:
                        found = read_watcher(self.fields, address, kind)
                        if found.watcher == watcher:
                            yield found
                            break


def _read_timers(fields: Fields, pointer: int) -> Iterator[int]:
    """Of the heap whose every element's watcher has its index there as `active`."""
    memory = fields.interp.memory
    for at in VARIED:
        try:
            heap, most, count = struct.unpack("<Qii", memory.read(pointer + at, 16))
            if heap and not heap % POINTER and 0 < count <= most <= WATCHERS_LIMIT:
                data = memory.read(heap + HEAP_HEAD * ENTRY.size, count * ENTRY.size)
                watchers = [watcher for _, watcher in ENTRY.iter_unpack(data)]
                if _know_their_places(fields, watchers):
                    yield from watchers
                    return
        except ReadError:
            continue


def _know_their_places(fields: Fields, watchers: list[int]) -> bool:
    active = fields.interp.memory.read_many([(one, 4) for one in watchers])
    return all(data == (HEAP_HEAD + at).to_bytes(4, "little") for at, data in enumerate(active))


def _read_descriptors(fields: Fields, pointer: int) -> Iterator[int]:
    memory = fields.interp.memory
    table, count = DESCRIPTORS.unpack(memory.read(pointer, DESCRIPTORS.size))
    if not table or not 0 <= count <= WATCHERS_LIMIT:
        return
    data = memory.read(table, count * DESCRIPTOR_SIZE)
    for at in range(0, len(data), DESCRIPTOR_SIZE):
        watcher, seen = int.from_bytes(data[at : at + POINTER], "little"), 0
        while watcher and seen < CHAIN_LIMIT:
            yield watcher
            watcher, seen = fields.interp.pointer(watcher + NEXT), seen + 1


def _add_signals(
    found: LoopState, fields: Fields, pointer: int, classes: dict[int, str], maps: Sequence[Mapping]
) -> None:
    try:
        found.further.extend(_Owners(fields, classes).find(_read_signals(fields, pointer, maps), "signal"))
    except ReadError as error:
        found.problems.append(f"its signals: {error}")


def _read_signals(fields: Fields, pointer: int, maps: Sequence[Mapping]) -> Iterator[int]:
    """The first watcher of each signal, from libev's own table (ev.c: `ANSIG signals[]`: pending, loop, head)."""
    files = {one.path: one.start for one in maps if one.path.rpartition("/")[2].startswith(MODULES) and not one.offset}
    for data in maps:
        if data.path in files and data.permissions.startswith("rw"):
            end = read_end(fields.interp.memory, files[data.path])
            words = fields.interp.pointers(data.start, min(end - data.start, DATA_LIMIT) // POINTER)
            yield from (head for loop, head in pairwise(words) if loop == pointer and head)


def _read_callbacks(fields: Fields, loop: int, classes: dict[int, str]) -> Iterator[Callback]:
    """`_callbacks`: a list, or a chain of which each knows the next (CallbackFIFO)."""
    kept = fields.read(loop, "_callbacks")
    if not kept:
        return
    if fields.interp.type_flags(kept) & LIST:
        addresses = read_container(fields, kept)
    else:
        addresses = list(_follow(fields, next(_callbacks_in(fields, kept, classes), 0), classes))
    for address in addresses:
        bound, arguments = read_call(fields, address)
        yield Callback(address, bound, arguments)


def _follow(fields: Fields, address: int, classes: dict[int, str]) -> Iterator[int]:
    seen: set[int] = set()
    while address and address not in seen and len(seen) < WATCHERS_LIMIT:
        seen.add(address)
        yield address
        size = read_size(fields.interp, type_of(fields.interp, address))
        following = fields.interp.pointer(address + size - POINTER)  # its last field
        address = following if _is_callback(fields, following, classes) else 0


def _callbacks_in(fields: Fields, address: int, classes: dict[int, str]) -> Iterator[int]:
    return (word for word in read_own_words(fields, address) if _is_callback(fields, word, classes))


def _is_callback(fields: Fields, address: int, classes: dict[int, str]) -> bool:
    try:
        return bool(address) and classes.get(fields.interp.number(address, "PyObject", "ob_type")) == "callback"
    except ReadError:
        return False
