"""What the frames of an exception lead to: the locks, events and queues that their code and variables name."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from lastwords.capture.memory import ReadError
from lastwords.cpython.classes import find_lock_class
from lastwords.cpython.dicts import find_item
from lastwords.cpython.exception import is_none
from lastwords.cpython.frame import Place, read_frame_object
from lastwords.cpython.holding.expressions import read_globals, read_names
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import find_attributes
from lastwords.cpython.modules import module_globals, read_module_name
from lastwords.cpython.slots import read_slots
from lastwords.cpython.text import read_name
from lastwords.cpython.types import type_name, type_of
from lastwords.model import Known, Phase

FRAMES_LIMIT = 50
NAMES_LIMIT = 1000  # of one frame
KNOWN_LIMIT = 100
NAME_LIMIT = 1 << 10
Named = Iterator[tuple[str, int]]


def find_known(interp: Interpreter, traceback: int) -> list[Known]:
    """Each object once, by its first name; what cannot be read is left out."""
    found: dict[int, Known] = {}
    for place in islice(_follow(interp, traceback), FRAMES_LIMIT):
        for search in (_globals, _variables):
            for name, address in _tolerant(search(interp, place)):
                kind = _find_kind(interp, address) if address and address not in found else None
                if kind is not None and len(found) < KNOWN_LIMIT:
                    found[address] = Known(kind=kind, address=address, name=name)
    return list(found.values())


def find_gone(interp: Interpreter, traceback: int, phase: Phase) -> list[str]:
    """The globals that have become None, of those that the innermost code of a traceback names.

    A module that is taken apart has each of its globals set to None, its own name too (Objects/moduleobject.c,
    _PyModule_Clear); while the interpreter is finalizing, that may have begun without the name.
    """
    place = next(iter(deque(islice(_follow(interp, traceback), FRAMES_LIMIT), maxlen=1)), None)
    return sorted({name for name, _ in _tolerant(_gone(interp, place, phase))}) if place else []


def _gone(interp: Interpreter, place: Place, phase: Phase) -> Named:
    own_name = find_item(interp, read_globals(interp, place), "__name__")
    if phase != "finalizing" and not (own_name and is_none(interp, own_name)):
        return
    for name, address in _globals(interp, place):
        if address and is_none(interp, address):
            yield name, address
        elif address and (inside := module_globals(interp, address)):
            yield from _gone_inside(interp, place, name, inside)


def _gone_inside(interp: Interpreter, place: Place, module: str, inside: int) -> Named:
    """What the code names and the module, which it names too, has had: `os.path` is None when os is taken apart."""
    for one in read_names(interp, place.code):
        name = read_name(interp, one, NAME_LIMIT)
        address = find_item(interp, inside, name)
        if address and is_none(interp, address):
            yield f"{module}.{name}", address


def _follow(interp: Interpreter, traceback: int) -> Iterator[Place]:
    """The frames of a traceback, outermost first."""
    try:
        while traceback and type_of(interp, traceback).is_static("traceback"):
            frame = interp.number(traceback, "PyTracebackObject", "tb_frame")
            code = read_frame_object(interp, frame)
            if interp.has("PyFrameObject", "f_frame"):
                frame = interp.number(frame, "PyFrameObject", "f_frame")
            yield Place(frame, code, interp.signed(traceback, "PyTracebackObject", "tb_lasti"))
            traceback = interp.number(traceback, "PyTracebackObject", "tb_next")
    except ReadError:
        return


def _tolerant(objects: Named) -> Named:
    """As far as they can be read."""
    try:
        yield from islice(objects, NAMES_LIMIT)
    except ReadError:
        return


def _globals(interp: Interpreter, place: Place) -> Named:
    """The globals that the code names: as `find_name` calls them."""
    variables = read_globals(interp, place)
    module = read_module_name(interp, variables)
    for one in read_names(interp, place.code):
        name = read_name(interp, one, NAME_LIMIT)
        yield f"{module}.{name}" if module else name, find_item(interp, variables, name) or 0


def _variables(interp: Interpreter, place: Place) -> Named:
    """The locals, and the attributes of `self`."""
    for name, address in read_slots(interp, place):
        yield name, address
        if name == "self" and address:
            kind = type_name(interp, type_of(interp, address))
            for attribute, value in find_attributes(interp, address).items():
                yield f"{kind}.{attribute}", value


def _find_kind(interp: Interpreter, address: int) -> str | None:
    try:
        of_class = find_lock_class(interp, address)
    except ReadError:
        return None
    return of_class.kind if of_class is not None and of_class.kind != "thread" else None
