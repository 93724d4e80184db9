"""The functions of the standard library in which threads wait: a frame is told by its code object, not by its name.

Each is looked up where Python itself finds it: in the dict of its class, in the module of that name.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.classes import class_dict, find_module_globals
from lastwords.cpython.dicts import find_item
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.types import type_of


class Waiting(msgspec.Struct, frozen=True):
    """What a function is: a method of a lock of this `kind` (see LockState), or of a "process"."""

    kind: str
    function: str


class Methods(msgspec.Struct, frozen=True):
    """Methods of one class under all its names; `modules` are the names of its module."""

    kind: str
    modules: tuple[str, ...]
    classes: tuple[str, ...]
    functions: tuple[str, ...]


THREADING, PROCESSES = ("threading",), ("multiprocessing.synchronize",)
METHODS = (
    Methods("rlock", THREADING, ("_RLock",), ("acquire", "_acquire_restore")),
    Methods("condition", THREADING, ("Condition", "_Condition"), ("wait", "wait_for")),
    Methods("event", THREADING, ("Event", "_Event"), ("wait",)),
    Methods("semaphore", THREADING, ("Semaphore", "_Semaphore"), ("acquire",)),
    Methods("barrier", THREADING, ("Barrier",), ("wait", "_wait", "_enter")),
    Methods("thread", THREADING, ("Thread",), ("join", "_wait_for_tstate_lock")),
    Methods("queue", ("queue", "Queue"), ("Queue",), ("get", "put", "join")),
    Methods("future", ("concurrent.futures._base",), ("Future",), ("result", "exception")),
    Methods("module_lock", ("_frozen_importlib",), ("_ModuleLock",), ("acquire",)),
    Methods("process_lock", PROCESSES, ("SemLock",), ("__enter__",)),
    Methods("process_condition", PROCESSES, ("Condition",), ("wait", "wait_for")),
    Methods("process_event", PROCESSES, ("Event",), ("wait",)),
    Methods("process_queue", ("multiprocessing.queues",), ("JoinableQueue",), ("join",)),
    Methods("process", ("subprocess",), ("Popen",), ("wait", "_wait")),
    Methods("process", ("multiprocessing.popen_fork", "multiprocessing.forking"), ("Popen",), ("wait", "poll")),
)


def read_waiting_functions(interp: Interpreter) -> dict[int, Waiting]:
    """By the address of the code object. What cannot be read is left out."""
    found: dict[int, Waiting] = {}
    for methods in METHODS:
        for module in methods.modules:
            try:
                for variables in find_module_globals(interp, module):
                    found.update(_read_methods(interp, methods, variables))
            except ReadError:
                continue
    return found


def _read_methods(interp: Interpreter, methods: Methods, variables: int) -> Iterator[tuple[int, Waiting]]:
    for name in methods.classes:
        of_class = find_item(interp, variables, name)
        if not of_class or not type_of(interp, of_class).name.startswith(("type", "classobj")):
            continue  # 2.7: `threading.Condition` is a function
        members = class_dict(interp, of_class)
        for function in methods.functions:
            code = _read_code(interp, find_item(interp, members, function))
            if code:
                yield code, Waiting(methods.kind, function)


def _read_code(interp: Interpreter, function: int | None) -> int | None:
    if not function or not type_of(interp, function).is_static("function"):
        return None
    return interp.number(function, "PyFunctionObject", "func_code")
