"""A first look at a swallowed exception, cheap enough for the ten-thousandth time: addresses only, no names.

An event whose look is the same as an earlier one's is that event again: the same function called from the same
instruction, for an exception of the same type that says the same, came by the same instructions, in a thread that
stands at the same ones. Addresses hold as long as their objects live; one that has been given out again is told apart
by the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from lastwords.cpython import Interpreter, ReadError, read_value
from lastwords.cpython.frame import read_frame_object, read_places
from lastwords.cpython.structs import EXCEPTION
from lastwords.cpython.types import type_of
from lastwords.model import Caught
from lastwords.watch.stops import Stop

# Which arguments are the exception and its traceback (None: it has its own): PyErr_Display(type, value, traceback),
# _PyErr_Display(file, type, value, traceback) (3.8), PyErr_DisplayException(value) (3.12, Python/pythonrun.c),
# write_unraisable_exc_file(tstate, type, value, traceback, err_msg, obj, file) (3.8, Python/errors.c).
SHOWN: dict[str | None, tuple[int, int | None]] = {
    "PyErr_Display": (1, 2),
    "_PyErr_Display": (2, 3),
    "PyErr_DisplayException": (0, None),
    "write_unraisable_exc_file": (2, 3),
}
FRAMES_LIMIT = 30  # of a stack and of a traceback: what differs only further out is the same place
TEXT_LIMIT = 100  # characters
TEXTS_LIMIT = 20  # different texts from one place that get a record each; the next are counted with the last
Key = tuple[object, ...]


@dataclass(frozen=True)
class Glance:
    """`value`: what stands for the exception at the stop, an instance or not. `place`: where; `text`: what it says.

    `is_none`: there is no exception at all (code that prints one and then says that something was ignored).
    """

    value: int
    is_instance: bool
    place: Key
    text: str | None
    is_none: bool = False

    @property
    def instance(self) -> int:
        """The exception's address; 0 where there is none yet (a type with its argument)."""
        return self.value if self.is_instance else 0


def read_glance(interp: Interpreter, stop: Stop, tstate: int) -> Glance:
    """Look at a thread that stands at the entry of one of the functions that are watched. Raises ReadError."""
    kind, value, traceback = find_exception(interp, stop, tstate)
    is_instance = bool(value) and bool(interp.type_flags(value) & EXCEPTION)
    if is_instance and not kind:
        kind = interp.number(value, "PyObject", "ob_type")
    if is_instance and not traceback and interp.has("PyBaseExceptionObject", "traceback"):
        traceback = interp.number(value, "PyBaseExceptionObject", "traceback")
    place = (
        stop.pid,
        stop.function,
        stop.registers.get("return_address"),
        kind,
        tuple(islice(_read_traceback(interp, traceback), FRAMES_LIMIT)),
        tuple((place.code, place.lasti) for place in islice(read_places(interp, tstate), FRAMES_LIMIT)),
    )
    said = interp.number(value, "PyBaseExceptionObject", "args") if is_instance else value
    text = read_value(interp, said, TEXT_LIMIT).repr if said else None
    return Glance(value, is_instance, place, text, is_none=not kind and not value)


def find_exception(interp: Interpreter, stop: Stop, tstate: int) -> tuple[int, int, int]:
    """The addresses of type, value and traceback: arguments of the stopped function, or pending in its thread.

    0 is "not known from here": the instance has it, or it has none. Raises ReadError.
    """
    if stop.function in SHOWN:
        return 0, *find_shown(stop)
    if interp.has("PyThreadState", "current_exception"):
        return 0, interp.number(tstate, "PyThreadState", "current_exception"), 0
    kind, value, traceback = (
        interp.number(tstate, "PyThreadState", f"curexc_{part}") for part in ("type", "value", "traceback")
    )
    return kind, value, traceback


def find_traceback(interp: Interpreter, stop: Stop, tstate: int) -> int:
    """The address of the exception's traceback, 0 where it has none, or that cannot be read."""
    try:
        _, value, traceback = find_exception(interp, stop, tstate)
        if not traceback and value and interp.has("PyBaseExceptionObject", "traceback"):
            is_instance = interp.type_flags(value) & EXCEPTION
            traceback = interp.number(value, "PyBaseExceptionObject", "traceback") if is_instance else 0
    except ReadError:
        return 0
    return traceback


def find_shown(stop: Stop) -> tuple[int, int]:
    """The addresses of value and traceback, from the arguments of a function that shows an exception."""
    value, traceback = SHOWN[stop.function]
    return stop.argument(value), stop.argument(traceback) if traceback is not None else 0


def _read_traceback(interp: Interpreter, address: int) -> Iterator[tuple[int, int]]:
    """(code object, byte of the instruction) of each entry, outermost first; None has none. Raises ReadError."""
    while address and type_of(interp, address).is_static("traceback"):
        code = read_frame_object(interp, interp.number(address, "PyTracebackObject", "tb_frame"))
        yield code, interp.signed(address, "PyTracebackObject", "tb_lasti")
        address = interp.number(address, "PyTracebackObject", "tb_next")


class Known:
    """The records of what has been seen already, by place and text."""

    def __init__(self) -> None:
        self._by_place: dict[Key, dict[str | None, Caught]] = {}

    def find(self, place: Key, text: str | None) -> Caught | None:
        """Its record; where a place has had too many texts already, that of the last of them."""
        texts = self._by_place.get(place, {})
        if text in texts:
            return texts[text]
        return next(reversed(texts.values())) if len(texts) >= TEXTS_LIMIT else None

    def forget(self, pid: int) -> None:
        """The addresses of this process mean something else from now on."""
        self._by_place = {place: texts for place, texts in self._by_place.items() if place[0] != pid}

    def keep(self, place: Key, text: str | None, caught: Caught) -> None:
        """From now on `find` gives `caught` for it."""
        texts = self._by_place.setdefault(place, {})
        if len(texts) < TEXTS_LIMIT:
            texts[text] = caught
