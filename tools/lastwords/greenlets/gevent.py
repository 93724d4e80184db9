"""What gevent adds to a greenlet: a name, the function that it was spawned with, where that was, and the hubs.

Read from the greenlet's own fields; gevent's classes are told by identity, not by name.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import find_dict
from lastwords.cpython.callables import callable_name
from lastwords.cpython.code import find_function_code, is_code, read_code, read_frame
from lastwords.cpython.dicts import named, read_items
from lastwords.cpython.frame import add_sources
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import find_global
from lastwords.cpython.numbers import read_int
from lastwords.cpython.structs import LONG, POINTER, Group
from lastwords.cpython.text import read_text
from lastwords.cpython.types import Kind, bases, read_kind, type_name, type_of
from lastwords.greenlets.cython_fields import Fields, read_size
from lastwords.greenlets.greenlet import GreenletState
from lastwords.model import Frame

HUBS = ("gevent.hub", "Hub")
GREENLETS = ("gevent.greenlet", "Greenlet")
NAME_LIMIT = 200
SPAWN_LIMIT = 50  # frames; gevent keeps ten


class Gevent:
    """gevent in one moment of a process: its classes, by their addresses, 0 where it was not imported.

    Raises ReadError where they cannot be looked for.
    """

    def __init__(self, interp: Interpreter) -> None:
        self.interp = interp
        self.fields = Fields(interp)
        self._described: dict[int, Frame | None] = {}  # callables by their address
        self._spawners: dict[tuple[int, int], Frame | None] = {}  # by code object and line
        self._groups: dict[int, Group | None] = {}  # of gevent's frames, by their type
        self._spawners_like: tuple[int, Group] | None = None  # the last such type
        self._none = 0  # None's address, once it was met
        self._sizes: dict[int, int] = {}  # of instances, by their type
        self._kinds: dict[tuple[int, int], bool] = {}
        self.hub, self.greenlet = (find_global(interp, *names) or 0 for names in (HUBS, GREENLETS))

    def is_hub(self, kind: Kind) -> bool:
        """Whether it is a type of hubs. Raises ReadError."""
        return self._is_made_from(kind, self.hub)

    def is_greenlet(self, kind: Kind) -> bool:
        """Whether it is a type of gevent's own greenlets. Raises ReadError."""
        return self._is_made_from(kind, self.greenlet)

    def _is_made_from(self, kind: Kind, base: int) -> bool:
        key = (kind.address, base)
        if key not in self._kinds:
            self._kinds[key] = bool(base) and any(one.address == base for one in bases(self.interp, kind))
        return self._kinds[key]

    def describe(self, address: int) -> Frame | None:
        """See describe_callable; each is read once."""
        if address not in self._described:
            self._described[address] = describe_callable(self, address)
        return self._described[address]

    def spawner(self, code: int, line: int) -> Frame | None:
        """A frame that spawned greenlets, with its source, made once; None for no code. Raises ReadError."""
        key = (code, line)
        if key not in self._spawners:
            found = read_frame(self.interp, code, 0, line) if is_code(self.interp, code) else None
            add_sources(self.interp, [found] if found else [])
            self._spawners[key] = found
        return self._spawners[key]

    def read_spawner(self, address: int) -> tuple[int, int, int]:
        """Code object, line, and the next of a frame that gevent keeps; no code where it is none. Raises ReadError."""
        if address == self._none:
            return 0, 0, 0
        if self._spawners_like is not None:  # the others are of the same class
            of_type, (start, size, unpack) = self._spawners_like
            try:
                found, code, back, line = unpack(self.interp.memory.read(address + start, size))
            except ReadError:  # a smaller one, at the end of what there is
                return self._read_first_spawner(address)
            if found == of_type:
                return code, line, back
        return self._read_first_spawner(address)

    def _read_first_spawner(self, address: int) -> tuple[int, int, int]:
        """Of its class, or None."""
        kind = type_of(self.interp, address)
        if kind.is_static("NoneType"):
            self._none = address
            return 0, 0, 0
        group = self._find_spawner_group(kind)
        if group is None:
            return _read_slowly(self, address)
        self._spawners_like = kind.address, group
        start, size, unpack = group
        _, code, back, line = unpack(self.interp.memory.read(address + start, size))
        return code, line, back

    def _find_spawner_group(self, kind: Kind) -> Group | None:
        if kind.address not in self._groups:
            self._groups[kind.address] = self.fields.find_group(kind, ("f_code", "f_back"), "f_lineno")
        return self._groups[kind.address]

    def size(self, kind: Kind) -> int:
        """Bytes of an instance. Raises ReadError."""
        if kind.address not in self._sizes:
            self._sizes[kind.address] = read_size(self.interp, kind)
        return self._sizes[kind.address]


def read_own(gevent: Gevent, found: GreenletState) -> dict[str, int]:
    """What its `__dict__` holds, where it has one. Raises ReadError."""
    interp = gevent.interp
    own = find_dict(interp, found.address, read_kind(interp, found.kind))
    return dict(named(interp, read_items(interp, own))) if own else {}


def read_name(gevent: Gevent, found: GreenletState, own: dict[str, int]) -> str | None:
    """The `name` that was given to it, or gevent's own ("Greenlet-3"), if that was ever asked for.

    `own` is what `read_own` returned. Raises ReadError.
    """
    try:
        name = read_text(gevent.interp, own["name"], NAME_LIMIT) if "name" in own else ""
    except ReadError:  # it may be anything
        name = ""
    if name:
        return name
    kind = read_kind(gevent.interp, found.kind)
    number = _read_ident(gevent, found, kind, own) if gevent.is_greenlet(kind) else None
    return f"Greenlet-{number}" if number is not None else None


def _read_ident(gevent: Gevent, found: GreenletState, kind: Kind, own: dict[str, int]) -> int | None:
    """`minimal_ident`: the last of the fields of Cython's Greenlet, without a getter. None: it has none yet."""
    interp = gevent.interp
    base = read_kind(interp, gevent.greenlet)
    kept = own.get("_ident")
    if not kept and not base.is_heap and gevent.size(kind) >= gevent.size(base):
        kept = interp.pointer(found.address + gevent.size(base) - POINTER)
    return read_int(interp, kept) if kept and interp.type_flags(kept) & LONG else None


def read_run(gevent: Gevent, found: GreenletState, own: dict[str, int]) -> Frame | None:
    """The function that it runs or will run: name, file, first line. None where nothing tells any more.

    Raises ReadError.
    """
    kind = read_kind(gevent.interp, found.kind)
    candidates = [own.get("run"), found.run, gevent.fields.find_class_attribute(kind, "run")]
    if gevent.is_greenlet(kind):  # whose `run` calls `_run`
        candidates = [own.get("_run"), gevent.fields.find_class_attribute(kind, "_run"), *candidates]
    described = (gevent.describe(one) for one in candidates if one)
    return next((frame for frame in described if frame is not None), None)


def describe_callable(gevent: Gevent, address: int, depth: int = 4) -> Frame | None:
    """A function, a method, a partial of one: its name, file and first line; of C alone the name. Raises ReadError."""
    interp = gevent.interp
    code = find_function_code(interp, address)
    if code:
        return read_frame(interp, code, 0, read_code(interp, code).first_line)
    kind = type_of(interp, address)
    inner = None
    if kind.name in ("method", "instancemethod"):
        inner = interp.number(address, "PyMethodObject", "im_func")
    elif kind.name in ("functools.partial", "partial"):
        inner = gevent.fields.read(address, "func")
    if inner and depth:
        return describe_callable(gevent, inner, depth - 1)
    name = callable_name(interp, address)
    return Frame(kind="native", function=name) if name else None


def read_spawned_at(gevent: Gevent, found: GreenletState) -> list[Frame]:
    """Where it was spawned: gevent keeps code and line of some frames, innermost first. Raises ReadError."""
    kind = read_kind(gevent.interp, found.kind)
    if not gevent.is_greenlet(kind):
        return []
    first = gevent.fields.read(found.address, "spawning_stack")
    return list(_follow_spawn(gevent, first)) if first else []


def _follow_spawn(gevent: Gevent, address: int) -> Iterator[Frame]:
    for _ in range(SPAWN_LIMIT):
        code, line, back = gevent.read_spawner(address)
        frame = gevent.spawner(code, line) if code else None
        if frame is None:
            return
        yield frame
        if not back:
            return
        address = back


def _read_slowly(gevent: Gevent, address: int) -> tuple[int, int, int]:
    """What has no getters: a class of Python's."""
    code = gevent.fields.read(address, "f_code")
    if not code:
        return 0, 0, 0
    return code, _read_line(gevent, address), gevent.fields.read(address, "f_back") or 0


def _read_line(gevent: Gevent, address: int) -> int:
    number = gevent.fields.read_int(address, "f_lineno")
    if number is not None:
        return number
    kept = gevent.fields.read(address, "f_lineno")
    if not kept:
        raise ReadError(f"the frame that gevent keeps at {address:#x} has no line")
    return read_int(gevent.interp, kept)


def read_loop(gevent: Gevent, hub: int) -> str | None:
    """The type of a hub's loop: "gevent.libev.corecext.loop"; None before it has one. Raises ReadError."""
    loop = gevent.fields.read(hub, "loop") or gevent.fields.read(hub, "_loop")
    if not loop:
        return None
    kind = type_of(gevent.interp, loop)
    return None if kind.is_static("NoneType") else type_name(gevent.interp, kind)
