"""What a thread waits for, in words: one line that says the state that keeps it waiting."""

from __future__ import annotations

from collections.abc import Callable

from lastwords.capture.memory import ReadError
from lastwords.cpython.classes import find_lock_class
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import Attributes, find_attributes, read_count
from lastwords.cpython.text import read_text
from lastwords.cpython.waiting.wait_levels import Level

NAME_LIMIT = 200  # characters
NATIVE = {"process_lock": "lock of multiprocessing", "process_semaphore": "semaphore of multiprocessing"}


def format_level(interp: Interpreter, level: Level) -> str:
    """ "Queue.get: 0 items", "Thread.join: worker-1", "lock". What cannot be read is left out."""
    try:
        of_class = find_lock_class(interp, level.address)
        attributes = find_attributes(interp, level.address) if level.kind in FORMATS else {}
        told = FORMATS[level.kind](interp, attributes) if level.kind in FORMATS else ""
    except ReadError:
        return level.kind
    name = of_class.name.rpartition(".")[2] if of_class is not None else level.kind
    called = f"{name}.{level.function}" if level.function else NATIVE.get(level.kind, name)
    return f"{called}: {told}" if told else called


def _format_thread(interp: Interpreter, attributes: Attributes) -> str:
    return _text(interp, attributes.get("_name"))


def _format_queue(interp: Interpreter, attributes: Attributes) -> str:
    items = read_count(interp, attributes.get("queue"))
    maxsize = read_count(interp, attributes.get("maxsize"))
    unfinished = read_count(interp, attributes.get("unfinished_tasks"))
    limit = f" of at most {maxsize}" if maxsize and maxsize > 0 else ""
    return f"{items} items{limit}, {unfinished} unfinished tasks"


def _format_semaphore(interp: Interpreter, attributes: Attributes) -> str:
    return f"{read_count(interp, attributes.get('_value'))} left"


def _format_barrier(interp: Interpreter, attributes: Attributes) -> str:
    count, parties = (read_count(interp, attributes.get(name)) for name in ("_count", "_parties"))
    return f"{count} of {parties} are there"


def _format_condition(interp: Interpreter, attributes: Attributes) -> str:
    return f"{read_count(interp, attributes.get('_waiters'))} waiting"


def _format_event(interp: Interpreter, attributes: Attributes) -> str:
    return "set" if read_count(interp, attributes.get("_flag")) else "not set"


def _format_future(interp: Interpreter, attributes: Attributes) -> str:
    return _text(interp, attributes.get("_state"))


def _format_module_lock(interp: Interpreter, attributes: Attributes) -> str:
    owner = read_count(interp, attributes.get("owner"))
    return f"module {_text(interp, attributes.get('name'))}" + (f", imported by thread {owner:#x}" if owner else "")


def _text(interp: Interpreter, address: int | None) -> str:
    return read_text(interp, address, NAME_LIMIT) if address else "?"


FORMATS: dict[str, Callable[[Interpreter, Attributes], str]] = {
    "thread": _format_thread,
    "queue": _format_queue,
    "semaphore": _format_semaphore,
    "barrier": _format_barrier,
    "condition": _format_condition,
    "event": _format_event,
    "future": _format_future,
    "module_lock": _format_module_lock,
}
