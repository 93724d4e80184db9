"""Which thread a greenlet belongs to: that of its main greenlet, and which of them runs there now.

To greenlet 1 a greenlet that was started has its thread's dict, `PyThreadState.dict`. From greenlet 2 on a thread-local
word of the thread points at a ThreadState that names its main greenlet; where that cannot be read (a thread whose
`pthread_self()` is not known, another C library), greenlets tell by where their C stacks lie.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.capture.procfs import Mapping
from lastwords.cpython.current_greenlet import find_current_greenlet, find_thread_states
from lastwords.cpython.threads import PythonThread
from lastwords.greenlets.greenlet import MAIN_STOP, GreenletState, find_main
from lastwords.greenlets.module import Module


class Owners(msgspec.Struct):
    """threads: the thread of each main greenlet; current: the greenlet that runs there; both by main greenlet.

    are_all: whether a main greenlet that is not among them is of no thread that lives
    """

    threads: dict[int, PythonThread] = {}
    current: dict[int, int] = {}
    are_all: bool = True


def find_owners(
    module: Module, known: dict[int, GreenletState], threads: Sequence[PythonThread], maps: Sequence[Mapping]
) -> Owners:
    """The threads of these greenlets; a thread that has ended is not among them."""
    owners = Owners()
    if not module.is_split:
        _find_by_dict(module, known, threads, owners)
        return owners
    for thread in threads:
        try:
            owners.threads.update((main, thread) for main in _mains_of(module, thread))
        except ReadError:
            owners.are_all = False
    if not (owners.are_all and all(thread.ident for thread in threads)):  # new stacks may lie where dead threads' lay
        _find_by_stacks(known, threads, maps, owners)
    for main in {find_main(known, found) for found in known.values()}:
        state = known[main].thread_state if main in known else 0
        if state:
            with suppress(ReadError):
                owners.current[main] = module.pointer(state, "ThreadState", "current_greenlet")
    return owners


def _find_by_dict(
    module: Module, known: dict[int, GreenletState], threads: Sequence[PythonThread], owners: Owners
) -> None:
    by_dict: dict[int, PythonThread] = {}
    living = [thread for thread in threads if thread.alive is not False]
    newest = {(thread.ident, thread.interpreter): thread for thread in living}  # others were lost by a fork
    for thread in newest.values():
        with suppress(ReadError):
            by_dict[module.interp.number(thread.tstate, "PyThreadState", "dict")] = thread
    by_dict.pop(0, None)
    for found in known.values():
        if found.thread_dict in by_dict:
            main = find_main(known, found)
            if main:
                owners.threads.setdefault(main, by_dict[found.thread_dict])
    for main, thread in owners.threads.items():  # one without Python frames looks as if it ran
        current = find_current_greenlet(module.interp, thread.ident)
        if current in known and current is not None:
            owners.current[main] = current


def _mains_of(module: Module, thread: PythonThread) -> list[int]:
    """The main greenlet of a thread; none for one that has not used greenlets. Raises ReadError."""
    if not thread.ident or thread.alive is False:
        return []
    if module.image is None:
        raise ReadError("the file of greenlet's module was not found")
    states = find_thread_states(module.interp, thread.ident, module.image)
    return [module.pointer(state, "ThreadState", "main_greenlet") for state in states]


def _find_by_stacks(
    known: dict[int, GreenletState], threads: Sequence[PythonThread], maps: Sequence[Mapping], owners: Owners
) -> None:
    regions = list(_find_regions(threads, maps))
    for found in known.values():
        main = find_main(known, found)
        if main and main not in owners.threads and known.get(main, found).thread_state:
            address = found.stack.start if found.stack.stop == MAIN_STOP else found.stack.stop
            thread = _find_region(regions, address) if address > 1 else None
            if thread is not None:
                owners.threads[main] = thread


Region = tuple[int, int, PythonThread]


def _find_regions(threads: Iterable[PythonThread], maps: Sequence[Mapping]) -> Iterator[Region]:
    """[start, end) of each thread's stack: what is mapped around its sp, up to `pthread_self()`, which is above it."""
    starts = [mapping.start for mapping in maps]
    for thread in threads:
        pointer = thread.kernel.sp if thread.kernel else None
        index = bisect_right(starts, pointer or 0) - 1
        if not pointer or index < 0 or pointer >= maps[index].end:
            continue
        mapping = maps[index]
        end = thread.ident if mapping.start < thread.ident <= mapping.end else mapping.end
        yield mapping.start, end, thread


def _find_region(regions: Sequence[Region], address: int) -> PythonThread | None:
    """The smallest one that holds `address`: two stacks may lie side by side in one mapping."""
    inside = [(end, thread) for start, end, thread in regions if start <= address < end]
    return min(inside, key=lambda one: one[0])[1] if inside else None
