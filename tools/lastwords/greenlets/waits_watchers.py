"""libev's watchers and gevent's objects around them: which descriptor, until when, which child.

Below: those of Cython; those of CFFI, of libev and libuv, are in cffi_watchers.py.

The structs are those of ev.h: `int active, pending, priority; cb;`, then what each kind has; gevent compiles them
without `void *data` (EV_COMMON). Its object holds its watcher in itself, and from 1.3 on a pointer to it, `_w_watcher`.
"""

from __future__ import annotations

import struct
from contextlib import suppress

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.holding.with_blocks import read_bound
from lastwords.cpython.structs import POINTER, TUPLE
from lastwords.cpython.types import type_of
from lastwords.greenlets.cffi_watchers import is_cffi_watcher, read_cffi_watcher
from lastwords.greenlets.cython_fields import Fields, read_size
from lastwords.greenlets.loop_model import Watcher
from lastwords.greenlets.waits_links import read_own_words

ARGUMENTS_LIMIT = 16
EV_READ, EV_WRITE = 1, 2
HEAD = struct.Struct("<ii")  # active, pending
SIZES = {"io": 40, "timer": 40, "child": 48, "signal": 40, "async": 32}  # of ev_io, ev_timer, ... on 64 bits
IO, TIMER, CHILD, SIGNAL = (
    struct.Struct(form) for form in ("<32xii", "<24xdd", "<36xi", "<32xi")
)  # from the watcher on


def read_watcher(fields: Fields, address: int, kind: str) -> Watcher:
    """The watcher of the object at `address`. Raises ReadError."""
    if is_cffi_watcher(fields, address):
        return read_cffi_watcher(fields, address, kind)
    size = read_size(fields.interp, type_of(fields.interp, address))
    inner = _find_struct(fields, address, kind, size)
    data = fields.interp.memory.read(inner, SIZES[kind])
    active, pending = HEAD.unpack_from(data)
    found: dict[str, object] = {}
    if kind == "io":
        found["fd"], found["events"] = IO.unpack_from(data)
    elif kind == "timer":
        found["at"], found["repeat"] = TIMER.unpack_from(data)
    elif kind == "child":
        found["number"] = CHILD.unpack_from(data)[0]
    elif kind == "signal":
        (found["number"],) = SIGNAL.unpack_from(data)
    callback, arguments = read_call(fields, address)
    return msgspec.convert(
        {
            "address": address,
            "kind": kind,
            "watcher": inner,
            "is_active": active != 0,
            "is_pending": pending != 0,
            "callback": callback,
            "arguments": arguments,
            **found,
        },
        Watcher,
    )


def read_call(fields: Fields, address: int) -> tuple[int, tuple[int, ...]]:
    """What the function of a watcher or of a loop's callback is bound to, and its arguments. Raises ReadError."""
    arguments = fields.read(address, "args")
    callback = fields.read(address, "callback") or fields.read(address, "_callback")
    bound = 0
    with suppress(ReadError):
        bound = read_bound(fields.interp, callback) if callback else 0
    if not arguments or not fields.interp.type_flags(arguments) & TUPLE:
        return bound, ()
    return bound, tuple(read_tuple(fields.interp, arguments, ARGUMENTS_LIMIT))


def _find_struct(fields: Fields, address: int, kind: str, size: int) -> int:
    """Where libev's struct is in the object: where a word of it points to, else at its end."""
    inside = [word for word in read_own_words(fields, address) if address < word < address + size]
    found = inside[0] if inside else address + size - SIZES[kind]
    if not address + 2 * POINTER <= found <= address + size - SIZES[kind]:
        raise ReadError(f"the watcher at {address:#x} would have its struct at {found:#x}")
    return found
