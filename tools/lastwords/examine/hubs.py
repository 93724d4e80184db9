"""The report's hubs: in their loop or inside which callback, and what can still wake somebody."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from lastwords.capture.memory import ReadError
from lastwords.cpython.code import find_function_code
from lastwords.cpython.frame import Place, add_sources, read_frame_at
from lastwords.cpython.holding.expressions import read_globals
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import module_globals, read_module
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.types import read_kind, type_name, type_of
from lastwords.examine.greenlet_scene import Scene
from lastwords.greenlets.gevent import Gevent, describe_callable
from lastwords.greenlets.greenlet import GreenletState
from lastwords.greenlets.loop_model import LoopState, Watcher
from lastwords.model import Hub
from lastwords.signals import signal_name

TEXTS_LIMIT = 1000
LOOP_MODULES = ("gevent._ffi.loop", "gevent.libuv.loop", "gevent.libuv.watcher", "gevent.libev.corecffi")
EVENTS = {1: "readable", 2: "writable", 3: "readable or writable"}


def add_hubs(scene: Scene) -> None:
    """Fill in what the report has of each hub."""
    hubs = {hub.greenlet: hub for hub in scene.entities.report.hubs}
    threads = {scene.entities.state_id(one): one for one in scene.threads}
    for greenlet, found in scene.pairs:
        hub = hubs.get(greenlet.id)
        if hub is not None:
            with suppress(ReadError):
                _add_state(scene, hub, found, threads.get(greenlet.thread or ""), greenlet.state)
            if found.address in scene.loops:
                _add_loop(scene, hub, scene.loops[found.address])


def _add_state(scene: Scene, hub: Hub, found: GreenletState, thread: PythonThread | None, state: str | None) -> None:
    if state == "unstarted":
        hub.state = "unstarted"
    elif state == "suspended":
        hub.state = "switched out"
    elif state == "running" and thread is not None:
        run = scene.fields.find_class_attribute(read_kind(scene.interp, found.kind), "run")
        code = find_function_code(scene.interp, run) if run else None
        inner = list(_before(thread.places, code)) if code else []
        if code and len(inner) < len(thread.places):
            inner = _without_loop(scene.interp, inner)
            hub.state = "callback" if inner else "polling"
            hub.inside = read_frame_at(scene.interp, inner[-1]) if inner else None
            add_sources(scene.interp, [hub.inside] if hub.inside else [])


def _before(places: Sequence[Place], code: int) -> Iterator[Place]:
    """The frames that `Hub.run` called, innermost first."""
    for place in places:
        if place.code == code:
            return
        yield place


def _without_loop(interp: Interpreter, inner: list[Place]) -> list[Place]:
    """Without the outermost ones that are of gevent's loops: those of CFFI are Python code."""
    modules = [module for name in LOOP_MODULES if (module := read_module(interp, name))]
    variables = {module_globals(interp, module) for module in modules}
    while inner and read_globals(interp, inner[-1]) in variables:
        inner = inner[:-1]
    return inner


def _add_loop(scene: Scene, hub: Hub, loop: LoopState) -> None:
    captured, gevent, ids = scene.source.captured, scene.gevent, scene.ids
    if captured.is_live and captured.pid is not None and (last := loop.date(loop.now)) is not None:
        hub.since_s = max(time.time() - (time.monotonic() - captured.taken_at) - last, 0.0)
    hub.counts = {
        "callbacks": len(loop.callbacks),
        "timers": len(loop.timers),
        "watchers": len(loop.descriptors),
    }
    hub.others = loop.others
    hub.complete = not loop.problems
    hub.signals = [signal_name(one.number) for one in loop.further if one.kind == "signal" and one.number]
    hub.callbacks = [_name_bound(gevent, one.bound, one.arguments, ids) for one in loop.callbacks[:TEXTS_LIMIT]]
    timers = sorted(loop.timers, key=lambda one: one.at or 0)[:TEXTS_LIMIT]
    hub.timers = [f"{_describe_time(loop, one)}: {_name(gevent, one, ids)}" for one in timers]
    hub.watchers = [
        f"fd {one.fd} {EVENTS.get(one.events & 3, 'ready')}: {_name(gevent, one, ids)}"
        for one in loop.descriptors[:TEXTS_LIMIT]
    ]


def _describe_time(loop: LoopState, timer: Watcher) -> str:
    if timer.at is None or loop.now is None:
        return "in some time"
    return f"in {timer.at - loop.now:.4g} s"


def _name(gevent: Gevent, watcher: Watcher, ids: Mapping[int, str]) -> str:
    return _name_bound(gevent, watcher.callback, watcher.arguments, ids)


def _name_bound(gevent: Gevent, bound: int, arguments: Sequence[int], ids: Mapping[int, str]) -> str:
    """Whom it wakes, where it is a greenlet or its Waiter; else the type of what its method belongs to."""
    for address in (bound, *arguments):
        with suppress(ReadError):
            greenlet = address if address in ids else gevent.fields.read(address, "greenlet") if address else None
            if greenlet in ids:
                return ids[greenlet or 0]
    with suppress(ReadError):
        frame = describe_callable(gevent, bound) if bound else None
        if frame is not None and frame.function:
            return frame.function
        if bound:
            return f"a method of {type_name(gevent.interp, type_of(gevent.interp, bound))}"
    return "a function"
