"""What gevent adds to a greenlet: a name, the function that it was spawned with, where that was, and the hubs.

Read from the greenlet's own fields; gevent's classes are told by identity, not by name.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import find_attribute, find_dict
from lastwords.cpython.callables import callable_name
from lastwords.cpython.code import find_function_code, is_code, read_code, read_frame
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import find_global
from lastwords.cpython.numbers import read_int
from lastwords.cpython.structs import LONG, POINTER
from lastwords.cpython.text import read_text
from lastwords.cpython.types import Kind, bases, read_kind, type_name, type_of
from lastwords.greenlets.cython_fields import (
    find_class_attribute,
    first_readable,
    read_field,
    read_int_field,
    read_size,
)
from lastwords.greenlets.greenlet import GreenletState
from lastwords.model import Frame

HUBS = ("gevent.hub", "Hub")
GREENLETS = ("gevent.greenlet", "Greenlet")
NAME_LIMIT = 200
SPAWN_LIMIT = 50  # frames; gevent keeps ten


class Gevent(msgspec.Struct):
    """gevent in one moment of a process: the addresses of its classes, 0 where it was not imported."""

    interp: Interpreter
    hub: int = 0
    greenlet: int = 0

    def is_hub(self, kind: Kind) -> bool:
        """Whether it is a type of hubs. Raises ReadError."""
        return bool(self.hub) and any(one.address == self.hub for one in bases(self.interp, kind))

    def is_greenlet(self, kind: Kind) -> bool:
        """Whether it is a type of gevent's own greenlets. Raises ReadError."""
        return bool(self.greenlet) and any(one.address == self.greenlet for one in bases(self.interp, kind))


def find_gevent(interp: Interpreter) -> Gevent:
    """gevent's classes. Raises ReadError."""
    hub, greenlet = (find_global(interp, *names) for names in (HUBS, GREENLETS))
    return Gevent(interp, hub or 0, greenlet or 0)


def read_name(gevent: Gevent, found: GreenletState) -> str | None:
    """The `name` that was given to it, or gevent's own ("Greenlet-3"), if that was ever asked for. Raises ReadError."""
    interp = gevent.interp
    kind = read_kind(interp, found.kind)
    given = find_attribute(interp, found.address, "name") if find_dict(interp, found.address, kind) else None
    try:
        name = read_text(interp, given, NAME_LIMIT) if given else ""
    except ReadError:  # it may be anything
        name = ""
    if name:
        return name
    number = _read_ident(gevent, found, kind) if gevent.is_greenlet(kind) else None
    return f"Greenlet-{number}" if number is not None else None


def _read_ident(gevent: Gevent, found: GreenletState, kind: Kind) -> int | None:
    """`minimal_ident`: the last of the fields of Cython's Greenlet, without a getter. None: it has none yet."""
    interp = gevent.interp
    own = read_kind(interp, gevent.greenlet)
    kept = find_attribute(interp, found.address, "_ident")
    if not kept and not own.is_heap and read_size(interp, kind) >= read_size(interp, own):
        kept = interp.pointer(found.address + read_size(interp, own) - POINTER)
    return read_int(interp, kept) if kept and interp.type_flags(kept) & LONG else None


def read_run(gevent: Gevent, found: GreenletState) -> Frame | None:
    """The function that it runs or will run: name, file, first line. None where nothing tells any more.

    Raises ReadError.
    """
    interp = gevent.interp
    kind = read_kind(interp, found.kind)
    for name in ("_run", "run"):
        run = find_attribute(interp, found.address, name)
        run = run or (found.run if name == "run" else None) or find_class_attribute(interp, kind, name)
        if run and (name == "run" or gevent.is_greenlet(kind)):
            frame = describe_callable(interp, run)
            if frame is not None:
                return frame
    return None


def describe_callable(interp: Interpreter, address: int, depth: int = 4) -> Frame | None:
    """A function, a method, a partial of one: its name, file and first line; of C alone the name. Raises ReadError."""
    code = find_function_code(interp, address)
    if code:
        return read_frame(interp, code, 0, read_code(interp, code).first_line)
    kind = type_of(interp, address)
    inner = None
    if kind.name in ("method", "instancemethod"):
        inner = interp.number(address, "PyMethodObject", "im_func")
    elif kind.name in ("functools.partial", "partial"):
        inner = first_readable(interp, address, "func")
    if inner and depth:
        return describe_callable(interp, inner, depth - 1)
    name = callable_name(interp, address)
    return Frame(kind="native", function=name) if name else None


def read_spawned_at(gevent: Gevent, found: GreenletState) -> list[Frame]:
    """Where it was spawned: gevent keeps code and line of some frames, innermost first. Raises ReadError."""
    kind = read_kind(gevent.interp, found.kind)
    if not gevent.is_greenlet(kind):
        return []
    first = read_field(gevent.interp, found.address, "spawning_stack")
    return list(_follow_spawn(gevent.interp, first)) if first else []


def _follow_spawn(interp: Interpreter, address: int) -> Iterator[Frame]:
    for _ in range(SPAWN_LIMIT):
        if not address or type_of(interp, address).is_static("NoneType"):
            return
        code = read_field(interp, address, "f_code")
        if not code or not is_code(interp, code):
            return
        yield read_frame(interp, code, 0, _read_line(interp, address))
        address = read_field(interp, address, "f_back") or 0


def _read_line(interp: Interpreter, address: int) -> int:
    number = read_int_field(interp, address, "f_lineno")
    if number is not None:
        return number
    kept = read_field(interp, address, "f_lineno")
    if not kept:
        raise ReadError(f"the frame that gevent keeps at {address:#x} has no line")
    return read_int(interp, kept)


def read_loop(interp: Interpreter, hub: int) -> str | None:
    """The type of a hub's loop: "gevent.libev.corecext.loop"; None before it has one. Raises ReadError."""
    loop = read_field(interp, hub, "loop") or read_field(interp, hub, "_loop")
    if not loop:
        return None
    kind = type_of(interp, loop)
    return None if kind.is_static("NoneType") else type_name(interp, kind)
