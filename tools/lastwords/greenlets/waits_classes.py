"""gevent's classes by their addresses, and all that are made from them: an object is told by its type's identity."""

from __future__ import annotations

from contextlib import suppress

from lastwords.capture.memory import ReadError
from lastwords.cpython.dicts import find_item
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import find_global
from lastwords.cpython.structs import TYPE
from lastwords.greenlets.search import TYPES_LIMIT, read_subclasses

# libev by Cython, 1.1 and newer, and before; libuv and libev by CFFI
LOOPS = ("gevent.libev.corecext", "gevent.core", "gevent.libuv.watcher", "gevent.libev.watcher")
CALLBACKS = (*LOOPS, "gevent._ffi.callback")
PRIMITIVES = ("gevent._hub_primitives", "gevent._gevent_c_hub_primitives", "gevent.__hub_primitives")
# (kind, modules, class); of a class that is made from another one here, the one further down counts.
CLASSES = (
    ("waiter", ("gevent.hub",), "Waiter"),
    ("iterator", PRIMITIVES, "_WaitIterator"),
    ("event", ("gevent.event",), "Event"),
    ("result", ("gevent.event",), "AsyncResult"),
    ("semaphore", ("gevent.lock", "gevent._semaphore"), "Semaphore"),
    ("lock", ("gevent.thread",), "LockType"),
    ("rlock", ("gevent.lock",), "RLock"),
    ("queue", ("gevent.queue",), "SimpleQueue"),
    ("queue", ("gevent.queue",), "Queue"),
    ("channel", ("gevent.queue",), "Channel"),
    ("timeout", ("gevent.timeout",), "Timeout"),
    ("greenlet", ("gevent.greenlet",), "Greenlet"),
    ("hub", ("gevent.hub",), "Hub"),
    ("callback", CALLBACKS, "callback"),
    ("io", LOOPS, "io"),
    ("timer", LOOPS, "timer"),
    ("child", LOOPS, "child"),
    ("signal", LOOPS, "signal"),
    ("async", LOOPS, "async_"),
    ("async", LOOPS, "async"),
)  # fmt: skip
UV_IO, SHARED = ("gevent.libuv.watcher", "io"), "_multiplexwatcher"
SEMAPHORES = ("Semaphore", "BoundedSemaphore")
LINKABLE = frozenset({"event", "result", "semaphore", "lock", "greenlet"})
WATCHERS = frozenset({"io", "timer", "child", "signal", "async"})


def find_classes(interp: Interpreter) -> dict[int, str]:
    """The kind of each class, by its address; empty without gevent. Raises ReadError."""
    found: dict[int, str] = {}
    shared = {find_global(interp, "gevent.lock", name) for name in SEMAPHORES}  # 1.0 has no class for locks alone
    for kind, modules, name in CLASSES:
        for module in modules:
            base = find_global(interp, module, name)
            if base and interp.type_flags(base) & TYPE and not (kind == "lock" and base in shared):
                found.update(dict.fromkeys(_with_subclasses(interp, base), kind))
    return {**found, **_find_shared(interp)}


def _find_shared(interp: Interpreter) -> dict[int, str]:
    """The class of those that share one of libuv's watchers for a descriptor, an attribute of the latter's class."""
    of_io = find_global(interp, *UV_IO)
    variables = interp.number(of_io, "PyTypeObject", "tp_dict") if of_io and interp.type_flags(of_io) & TYPE else 0
    shared = find_item(interp, variables, SHARED) if variables else None
    return {shared: "io"} if shared else {}


def _with_subclasses(interp: Interpreter, base: int) -> list[int]:
    """The class first; what of the others cannot be read is left out."""
    found = {base: None}
    waiting = [base]
    while waiting and len(found) < TYPES_LIMIT:
        with suppress(ReadError):
            following = [one for one in read_subclasses(interp, waiting.pop()) if one and one not in found]
            found.update(dict.fromkeys(following))
            waiting += following
    return list(found)
