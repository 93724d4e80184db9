"""The stack of a coroutine: where it stands, where the one stands that it awaits, and so on (Objects/genobject.c).

Coroutines, generators and async generators are one struct, PyGenObject. What a suspended one awaits is on top of its
evaluation stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.bytecode import find_instruction, read_instructions
from lastwords.cpython.frame import FRAMES_LIMIT, Place, read_object, read_record
from lastwords.cpython.structs import Structs
from lastwords.cpython.types import type_of
from lastwords.cpython.value_stack import STACK_LIMIT, read_depth, read_slot

GENERATORS = ("coroutine", "generator", "async_generator")
# What stands between one and the next: the type, the struct, and its field that leads on.
BETWEEN = {
    "coroutine_wrapper": ("PyCoroWrapper", "cw_coroutine"),
    "async_generator_asend": ("PyAsyncGenASend", "ags_gen"),
    "async_generator_athrow": ("PyAsyncGenAThrow", "agt_gen"),
    "anext_awaitable": ("anextawaitableobject", "wrapped"),
}
EMPTY = 3  # slots above what is awaited, at most, that hold no object
RESUME_LOCATION, AFTER_YIELD_FROM = 3, 2  # of RESUME's argument, from 3.11 on; 3 is after an await


class Chain(msgspec.Struct, frozen=True):
    """places: innermost first; begun: whether the outermost has run.

    running: whether it runs in a thread, of whose frames these are a part
    """

    places: list[Place]
    begun: bool = True
    running: bool = False
    error: str | None = None


class Coroutines:
    """Reads the stacks of coroutines. What follows from where a frame stands alone is read once for all that do."""

    def __init__(self, structs: Structs, running: Mapping[int, Sequence[Place]]) -> None:
        """`running`: of each frame that runs in a thread, itself and those further in."""
        self.structs, self._running = structs, running
        self._is_inside = structs.has("PyGenObject", "gi_iframe")  # from 3.11 on
        self._depths: dict[tuple[int, int], int] = {}
        self._delegating: dict[tuple[int, int], bool] = {}

    def read_chain(self, coroutine: int, *, alone: bool) -> Chain:
        """From a task's coroutine inwards.

        alone: it runs, but not in sight: what is on its evaluation stack is not what it awaits
        """
        places: list[Place] = []
        try:
            for frame, place in self._follow(coroutine):
                if frame in self._running:
                    return Chain([*self._running[frame], *places[::-1]], running=True)
                if place is not None:
                    places.append(place)
                if place is None or alone:
                    break
        except ReadError as error:
            return Chain(places[::-1], error=str(error))
        return Chain(places[::-1], begun=bool(places))

    def _follow(self, coroutine: int) -> Iterator[tuple[int, Place | None]]:
        """A coroutine's frame and where it stands, those of the one that it awaits, and so on."""
        structs = self.structs
        seen: set[int] = set()
        while coroutine:
            if coroutine in seen or len(seen) >= FRAMES_LIMIT:
                raise ReadError(f"the coroutines come back to {coroutine:#x}, or are more than {FRAMES_LIMIT}")
            seen.add(coroutine)
            kind = type_of(structs, coroutine)
            if kind.is_heap:
                return
            if kind.name in GENERATORS:
                frame, place = self._read_place(coroutine)
                yield frame, place
                coroutine = self._find_awaited(place) if place is not None else 0
            elif kind.name in BETWEEN:
                coroutine = structs.number(coroutine, *BETWEEN[kind.name])
            else:
                return

    def _read_place(self, generator: int) -> tuple[int, Place | None]:
        """Its frame (0 when it has ended, to 3.10), and where that stands; None where it has not begun."""
        structs = self.structs
        if self._is_inside:
            frame = structs.at(generator, "PyGenObject", "gi_iframe")
            return frame, read_record(structs, frame)[0]
        frame = structs.number(generator, "PyGenObject", "gi_frame")
        place = read_object(structs, frame)[0] if frame else None
        return frame, place if place is not None and place.lasti >= 0 else None

    def _find_awaited(self, place: Place) -> int:
        """The object on top of the stack; one that a generator merely has there while it yields is none.

        Only a generator is ever iterated by others than those who await: on top of a coroutine's stack there is what
        it awaits whenever that stands still.
        """
        structs, stand = self.structs, (place.code, place.lasti)
        if stand not in self._depths:
            self._depths[stand] = min(read_depth(structs, place), STACK_LIMIT)
        depth = self._depths[stand]
        slots = (read_slot(structs, place, index) for index in range(depth - 1, max(depth - 1 - EMPTY, -1), -1))
        top = next(filter(None, slots), 0)
        if not top or not type_of(structs, top).is_static("generator"):
            return top
        if stand not in self._delegating:
            self._delegating[stand] = _delegates(structs, place)
        return top if self._delegating[stand] else 0


def _delegates(structs: Structs, place: Place) -> bool:
    """Whether it stands in a `yield from` or an `await`."""
    instructions = read_instructions(structs, place.code)
    at = find_instruction(instructions, place.lasti)
    if at is None:
        return False
    here, *following = instructions[at : at + 2]
    if here.name == "RESUME":
        return here.argument & RESUME_LOCATION >= AFTER_YIELD_FROM
    if not following:
        return False
    is_resumed = following[0].name == "RESUME" and following[0].argument & RESUME_LOCATION >= AFTER_YIELD_FROM
    return following[0].name == "YIELD_FROM" or (here.name == "YIELD_VALUE" and is_resumed)
