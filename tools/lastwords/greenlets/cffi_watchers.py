"""gevent's watchers of libuv and libev by way of CFFI: Python objects, which keep most of what they watch themselves.

`_watcher` is CFFI's object for the C struct (CDataObject, cffi's c/_cffi_backend.c: head, type, `char *c_data`). The
struct's `void *data` is that object of CFFI's which gevent keeps as `_handle` while the watcher is started: that they
are the same proves where the struct is, and whose it is (uv.h has `data` first, ev.h behind three numbers).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_attributes, read_tuple
from lastwords.cpython.dicts import named
from lastwords.cpython.holding.with_blocks import read_bound
from lastwords.cpython.numbers import read_float, read_int
from lastwords.cpython.structs import INT, LONG, POINTER, TUPLE
from lastwords.cpython.types import type_of
from lastwords.greenlets.cython_fields import Fields
from lastwords.greenlets.loop_model import Watcher

ARGUMENTS_LIMIT = 16
STARTER = "_watcher_ffi_start"  # a method of gevent._ffi.watcher.watcher
UV_DATA, EV_DATA = 0, 16  # where `data` is in uv_handle_t, and in ev_watcher
UV_TIMER = 13  # uv_handle_type
UV_HANDLE = struct.Struct("<8xQi")  # loop, type
UV_TIMEOUTS = struct.Struct("<128xQQQ")  # timeout, repeat (both in milliseconds), start_id
EV_TIMES = struct.Struct("<32xdd")  # at, repeat
EV_EVENTS = struct.Struct("<40xii")  # fd, events
MILLISECOND = 0.001


class Struct(msgspec.Struct, frozen=True):
    """A watcher's C struct. is_uv: whether it is libuv's."""

    address: int
    is_uv: bool


def is_cffi_watcher(fields: Fields, address: int) -> bool:
    """Whether a watcher of gevent's is one of these. Raises ReadError."""
    kind = type_of(fields.interp, address)
    return kind.is_heap and any(fields.find_class_attribute(kind, name) for name in (STARTER, "pass_events"))


def read_own(fields: Fields, address: int) -> dict[str, int]:
    """An instance's own attributes, by name. Raises ReadError."""
    return dict(named(fields.interp, read_attributes(fields.interp, address)))


def read_cffi_watcher(fields: Fields, address: int, kind: str) -> Watcher:
    """The watcher of the object at `address`; one that shares libuv's of a descriptor, too. Raises ReadError."""
    own = read_own(fields, address)
    shared = own.get("_watcher_ref")
    callback, arguments = _read_call(fields, own)
    base = Watcher(address=address, kind=kind, watcher=0, is_active=bool(callback), is_pending=False)
    found = base if shared is None else msgspec.structs.replace(base, **_read_shared(fields, own, shared))
    told = {} if shared is not None else _read_kind(fields, own, kind)
    bound = 0
    with suppress(ReadError):
        bound = read_bound(fields.interp, callback) if callback else 0
    return msgspec.structs.replace(found, callback=bound, arguments=arguments, **told)


def _read_call(fields: Fields, own: Mapping[str, int]) -> tuple[int, tuple[int, ...]]:
    """What it calls, 0 for one that is not started, and with what."""
    callback = own.get("_callback") or own.get("callback") or 0
    if callback and type_of(fields.interp, callback).is_static("NoneType"):
        callback = 0
    arguments = own.get("_args") or own.get("args") or 0
    if not arguments or not fields.interp.type_flags(arguments) & TUPLE:
        return callback, ()
    return callback, tuple(read_tuple(fields.interp, arguments, ARGUMENTS_LIMIT))


def _read_shared(fields: Fields, own: Mapping[str, int], shared: int) -> dict[str, int | None]:
    return {
        "fd": read_number(fields, read_own(fields, shared), "_fd"),
        "events": read_number(fields, own, "_events") or 0,
    }


def _read_kind(fields: Fields, own: Mapping[str, int], kind: str) -> dict[str, int | float | None]:
    """What it watches for."""
    inner = find_struct(fields, own)
    if kind == "timer":
        return {"watcher": inner.address if inner else 0, **_read_timer(fields, own, inner)}
    if kind == "io":
        return {"fd": read_number(fields, own, "_fd"), "events": _read_events(fields, own, inner)}
    names = {"child": "_pid", "signal": "_signalnum"}
    return {"number": read_number(fields, own, names[kind])} if kind in names else {}


def find_struct(fields: Fields, own: Mapping[str, int]) -> Struct | None:
    """The C struct of a watcher that is started; None where it is not proven. Raises ReadError."""
    data, handle = own.get("_watcher"), own.get("_handle")
    if not data or not handle:
        return None
    address = fields.interp.pointer(_find_c_data(fields, data))
    if not address or address % POINTER:
        return None
    for at in (UV_DATA, EV_DATA):
        if fields.interp.pointer(address + at) == handle:
            return Struct(address, at == UV_DATA)
    return None


def read_c_data(fields: Fields, address: int) -> int:
    """Where an object of CFFI's points to. Raises ReadError."""
    return fields.interp.pointer(_find_c_data(fields, address))


def _find_c_data(fields: Fields, address: int) -> int:
    return address + fields.interp.at(0, "PyObject", "ob_type") + 2 * POINTER


def _read_timer(fields: Fields, own: Mapping[str, int], inner: Struct | None) -> dict[str, float]:
    """When it is due by the loop's clock; nothing where the struct does not say what the object says."""
    repeat = read_seconds(fields, own, "_repeat")
    if inner is None or repeat is None:
        return {}
    if not inner.is_uv:
        at, again = EV_TIMES.unpack(fields.interp.memory.read(inner.address, EV_TIMES.size))
        return {"at": at, "repeat": again} if again == repeat and at > 0 else {}
    _, kind = UV_HANDLE.unpack(fields.interp.memory.read(inner.address, UV_HANDLE.size))
    due, again, _ = UV_TIMEOUTS.unpack(fields.interp.memory.read(inner.address, UV_TIMEOUTS.size))
    is_known = kind == UV_TIMER and again == int(repeat * 1000)
    return {"at": due * MILLISECOND, "repeat": repeat} if is_known else {}


def _read_events(fields: Fields, own: Mapping[str, int], inner: Struct | None) -> int:
    """1: to read, 2: to write; 0 where that is not known."""
    kept = read_number(fields, own, "_events")
    if kept is not None or inner is None or inner.is_uv:
        return kept or 0
    fd, events = EV_EVENTS.unpack(fields.interp.memory.read(inner.address, EV_EVENTS.size))
    return int(events) if fd == read_number(fields, own, "_fd") else 0


def read_number(fields: Fields, own: Mapping[str, int], name: str) -> int | None:
    """An attribute that is an int; None for any other. Raises ReadError."""
    address = own.get(name)
    return read_int(fields.interp, address) if address and fields.interp.type_flags(address) & (INT | LONG) else None


def read_seconds(fields: Fields, own: Mapping[str, int], name: str) -> float | None:
    """An attribute that is a float or an int; None for any other. Raises ReadError."""
    address = own.get(name)
    if address and type_of(fields.interp, address).is_static("float"):
        return read_float(fields.interp, address)
    return read_number(fields, own, name)
