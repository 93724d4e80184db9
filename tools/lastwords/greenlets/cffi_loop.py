"""gevent's loops of libuv and libev by way of CFFI (`GEVENT_LOOP=libuv-cffi`, `libev-cffi`): their watchers and clocks.

The loop is a Python object that knows its watchers: all that are started are in `_keepaliveset`, or, of libuv's
descriptors, shared by the objects in `_multiplex_watchers` of one. Only times are in C: a timer's own, and the clock.
libev's is at the head of `struct ev_loop` (ev_vars.h). libuv's `time` follows on the heap of timers and their counter
(uv/unix.h); the heap is where its first timer is one that gevent has.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping

from lastwords.capture.memory import ReadError
from lastwords.cpython.dicts import read_items
from lastwords.cpython.structs import POINTER
from lastwords.cpython.types import type_of
from lastwords.greenlets.cffi_watchers import (
    MILLISECOND,
    UV_TIMEOUTS,
    Struct,
    find_struct,
    read_c_data,
    read_cffi_watcher,
    read_number,
    read_own,
    read_seconds,
)
from lastwords.greenlets.cython_fields import Fields
from lastwords.greenlets.loop_model import Callback, LoopState, Watcher
from lastwords.greenlets.waits_links import read_container

KEPT = "_keepaliveset"
EPOCH = (1e9, 1e11)  # seconds: what a clock of the epoch may show
CLOCKS = struct.Struct("<dddd")  # ev_rt_now, now_floor, mn_now, rtmn_diff
HEAP_NODE = 104  # of uv_timer_t: `node`
HEAP = struct.Struct("<QixxxxQQ")  # of uv_loop_t: timer_heap.min, .nelts; timer_counter; time
HEAP_PLACES = range(256, 1024, POINTER)
UNCOUNTED = 4  # of a libev watcher's `_flags`: it does not keep the loop going


def is_clocks(data: bytes) -> bool:
    """Whether the head of a `struct ev_loop` fits: the time of the epoch is the monotonic one and their difference."""
    epoch, _, monotonic, difference = CLOCKS.unpack(data)
    return bool(EPOCH[0] < epoch < EPOCH[1] and monotonic > 0 and abs(epoch - monotonic - difference) < 1)


def is_cffi_loop(fields: Fields, loop: int) -> bool:
    """Whether a hub's loop is one of these. Raises ReadError."""
    return type_of(fields.interp, loop).is_heap and KEPT in read_own(fields, loop)


def read_cffi_loop(fields: Fields, loop: int, classes: dict[int, str], clock_start: float | None) -> LoopState:
    """The loop; `clock_start` is the time of the epoch at which the monotonic clock was 0. Raises ReadError."""
    reader = _Reader(fields, classes, read_own(fields, loop))
    found = LoopState(loop, clock_start, None, 0)
    watchers = list(reader.read_watchers(found))
    found.timers = [one for one in watchers if one.kind == "timer"]
    found.descriptors = [one for one in watchers if one.kind == "io"]
    found.further = [one for one in watchers if one.kind not in ("timer", "io", "")]
    found.callbacks = list(reader.read_callbacks())
    found.active = len(found.timers) + len(found.descriptors) + len(found.callbacks)
    found.active += sum(reader.is_counted(one) for one in watchers if one.kind not in ("timer", "io"))
    reader.add_clock(found)
    return found


class _Reader:
    """Of one loop; `own` are the attributes of the Python object."""

    def __init__(self, fields: Fields, classes: dict[int, str], own: Mapping[str, int]) -> None:
        self.fields, self.interp, self.classes, self.own = fields, fields.interp, classes, own

    def read_watchers(self, found: LoopState) -> Iterator[Watcher]:
        """Those that are started; of other kinds than are told further up, those of kind ""."""
        for address in self._find_watchers():
            kind = self.classes.get(type_of(self.interp, address).address, "")
            try:
                watcher = read_cffi_watcher(self.fields, address, kind)
            except ReadError as error:
                found.problems.append(f"its watchers: {error}")
                continue
            if kind == "timer" and watcher.at is None:
                found.problems.append(f"its timers: when that at {address:#x} is due is not known")
            if watcher.is_active and address != self.own.get("_threadsafe_async"):
                yield watcher

    def _find_watchers(self) -> Iterable[int]:
        """Those that share one are told, not that one; a child's, not the one that it is simulated with."""
        kept = read_container(self.fields, self.own[KEPT])
        children = self._read_children()
        simulated = {read_own(self.fields, one).get("_async") for one in children}
        for address in kept:
            several = read_own(self.fields, address).get("_multiplex_watchers")
            if several:
                yield from read_container(self.fields, several)
            elif address not in simulated:
                yield address
        yield from children

    def _read_children(self) -> list[int]:
        """libuv's loop keeps them by process."""
        kept = self.own.get("_child_watchers")
        if not kept:
            return []
        return [one for _, several in read_items(self.interp, kept) for one in read_container(self.fields, several)]

    def is_counted(self, watcher: Watcher) -> bool:
        """Whether it keeps the loop going: signals of libuv do not, nor what was made with `ref=False`."""
        own = read_own(self.fields, watcher.address)
        flags = read_number(self.fields, own, "_flags")
        if flags is not None:
            return not flags & UNCOUNTED
        is_signal = watcher.kind == "signal"
        return not is_signal and read_number(self.fields, own, "_watcher__init_ref") != 0

    def read_callbacks(self) -> Iterator[Callback]:
        """What `run_callback` was given, in its order."""
        kept = self.own.get("_callbacks")
        for address in read_container(self.fields, kept) if kept else ():
            one = read_cffi_watcher(self.fields, address, "callback")
            if one.is_active:
                yield Callback(address, one.callback, one.arguments)

    def add_clock(self, found: LoopState) -> None:
        """What time it is for the loop, where that can be proven."""
        pointer = read_c_data(self.fields, self.own["_ptr"]) if self.own.get("_ptr") else 0
        if not pointer:
            found.problems.append("its clock: it has no loop in C any more")
            return
        head = self.interp.memory.read(pointer, CLOCKS.size)
        if is_clocks(head):
            _, _, found.now, found.epoch = CLOCKS.unpack(head)
            return
        found.now = self._find_time(pointer, found)
        if found.now is None:
            found.problems.append("its clock: where libuv keeps it was not found")

    def _find_time(self, pointer: int, found: LoopState) -> float | None:
        """`uv_loop_t.time` in seconds: no timer that is known was started later than that, or with a later number."""
        timers = list(self._read_timers(found))
        nodes = {one.address + HEAP_NODE for one, _ in timers}
        told = [UV_TIMEOUTS.unpack(self.interp.memory.read(one.address, UV_TIMEOUTS.size)) for one, _ in timers]
        starts = [due - int(after * 1000) for (due, _, _), (_, after) in zip(told, timers, strict=True)]
        for at in HEAP_PLACES:
            first, count, counter, now = HEAP.unpack(self.interp.memory.read(pointer + at, HEAP.size))
            is_heap = first in nodes and len(nodes) <= count and all(number < counter for _, _, number in told)
            if is_heap and max(starts) <= now:
                return float(now * MILLISECOND)
        return None

    def _read_timers(self, found: LoopState) -> Iterator[tuple[Struct, float]]:
        """libuv's timers that gevent has, with the seconds that they were started for: one is the loop's own."""
        own_timer, handle = self.own.get("_signal_idle"), self.own.get("_handle_to_self")
        known = find_struct(self.fields, {"_watcher": own_timer, "_handle": handle}) if own_timer and handle else None
        if known is not None and known.is_uv:
            _, every, _ = UV_TIMEOUTS.unpack(self.interp.memory.read(known.address, UV_TIMEOUTS.size))
            yield known, every * MILLISECOND
        for one in found.timers:
            own = read_own(self.fields, one.address)
            after, inner = read_seconds(self.fields, own, "_after"), find_struct(self.fields, own)
            if after is not None and inner is not None and inner.is_uv:
                yield inner, max(after, one.repeat)
