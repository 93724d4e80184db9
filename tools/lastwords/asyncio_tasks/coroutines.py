"""The stack of a coroutine: where it stands, where the one stands that it awaits, and so on (Objects/genobject.c).

Coroutines, generators and async generators are one struct, PyGenObject. What a suspended one awaits is on top of its
evaluation stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from lastwords.capture.memory import ReadError
from lastwords.cpython.bytecode import find_instruction, read_instructions
from lastwords.cpython.frame import FRAMES_LIMIT, Place, read_object, read_record
from lastwords.cpython.structs import Structs
from lastwords.cpython.types import type_of
from lastwords.cpython.value_stack import read_value_stack

GENERATORS = ("coroutine", "generator", "async_generator")
# What stands between one and the next: the type, the struct, and its field that leads on.
BETWEEN = {
    "coroutine_wrapper": ("PyCoroWrapper", "cw_coroutine"),
    "async_generator_asend": ("PyAsyncGenASend", "ags_gen"),
    "async_generator_athrow": ("PyAsyncGenAThrow", "agt_gen"),
    "anext_awaitable": ("anextawaitableobject", "wrapped"),
}
RESUME_LOCATION, AFTER_YIELD_FROM = 3, 2  # of RESUME's argument, from 3.11 on; 3 is after an await


class Chain(NamedTuple):
    """places: innermost first; begun: whether the outermost has run.

    running: whether it runs in a thread, of whose frames these are a part
    """

    places: list[Place]
    begun: bool = True
    running: bool = False
    error: str | None = None


def find_frame(structs: Structs, generator: int) -> int:
    """The frame of a coroutine: a PyFrameObject (0 when it has ended), or from 3.11 on the record inside."""
    if structs.has("PyGenObject", "gi_iframe"):
        return structs.at(generator, "PyGenObject", "gi_iframe")
    return structs.number(generator, "PyGenObject", "gi_frame")


def read_place(structs: Structs, generator: int) -> Place | None:
    """Where a coroutine stands; None where it has not begun or has ended. Raises ReadError."""
    frame = find_frame(structs, generator)
    if structs.has("PyGenObject", "gi_iframe"):
        return read_record(structs, frame)[0]
    place = read_object(structs, frame)[0] if frame else None
    return place if place is not None and place.lasti >= 0 else None


def read_chain(structs: Structs, coroutine: int, running: Mapping[int, Sequence[Place]], *, alone: bool) -> Chain:
    """From a task's coroutine inwards.

    running: of each frame that runs in a thread, itself and those further in
    alone: it runs, but not in sight: what is on its evaluation stack is not what it awaits
    """
    places: list[Place] = []
    try:
        for generator in _follow(structs, coroutine):
            frame = find_frame(structs, generator)
            if frame in running:
                return Chain([*running[frame], *places[::-1]], running=True)
            place = read_place(structs, generator)
            if place is not None:
                places.append(place)
            if place is None or alone:
                break
    except ReadError as error:
        return Chain(places[::-1], error=str(error))
    return Chain(places[::-1], begun=bool(places))


def _follow(structs: Structs, coroutine: int) -> Iterator[int]:
    """A coroutine, the one that it awaits, and so on, as long as these are coroutines or generators."""
    seen: set[int] = set()
    while coroutine:
        if coroutine in seen or len(seen) >= FRAMES_LIMIT:
            raise ReadError(f"the coroutines come back to {coroutine:#x}, or are more than {FRAMES_LIMIT}")
        seen.add(coroutine)
        kind = type_of(structs, coroutine)
        if any(kind.is_static(name) for name in GENERATORS):
            yield coroutine
            place = read_place(structs, coroutine)
            coroutine = _find_awaited(structs, place) if place is not None else 0
        elif not kind.is_heap and kind.name in BETWEEN:
            coroutine = structs.number(coroutine, *BETWEEN[kind.name])
        else:
            return


def _find_awaited(structs: Structs, place: Place) -> int:
    """The object on top of the stack; one that a generator merely has there while it yields is none.

    Only a generator is ever iterated by others than those who await: on top of a coroutine's stack there is what it
    awaits whenever that stands still.
    """
    values = read_value_stack(structs, place)
    top = values[-1] if values else 0
    if not top or not type_of(structs, top).is_static("generator"):
        return top
    return top if _delegates(structs, place) else 0


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
