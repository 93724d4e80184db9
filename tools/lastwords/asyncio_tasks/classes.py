"""Which classes and functions of asyncio are in hand: told by identity, as asyncio's own modules name them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.classes import class_dict
from lastwords.cpython.code import find_function_code
from lastwords.cpython.dicts import find_item
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import module_globals, read_module
from lastwords.cpython.structs import TYPE
from lastwords.cpython.types import type_of

MRO_LIMIT = 200
TASKS, FUTURES, LOCKS = "asyncio.tasks", "asyncio.futures", "asyncio.locks"
# What an instance is, by module and class; to 3.9 and without the C module `Task` alone is there.
CLASSES = {
    (TASKS, "_CTask"): "task",
    (TASKS, "_PyTask"): "python task",
    (TASKS, "_GatheringFuture"): "gathering",
    (FUTURES, "_CFuture"): "future",
    (FUTURES, "_PyFuture"): "python future",
    (LOCKS, "Lock"): "lock",
    (LOCKS, "Event"): "event",
    (LOCKS, "Condition"): "condition",
    (LOCKS, "Semaphore"): "semaphore",
    (LOCKS, "Barrier"): "barrier",
    ("asyncio.queues", "Queue"): "queue",
    ("asyncio.taskgroups", "TaskGroup"): "group",
    ("asyncio.timeouts", "Timeout"): "timeout",
    ("asyncio.streams", "StreamReader"): "stream",
    ("asyncio.streams", "StreamWriter"): "stream",
}
TASK_KINDS = frozenset(["task", "python task"])
FUTURE_KINDS = frozenset(["future", "python future", *TASK_KINDS])
# Functions in which a task waits; `Class.method` of the classes above.
FUNCTIONS = {
    TASKS: ("sleep", "wait_for", "_wait"),
    LOCKS: (
        "Lock.acquire",
        "Event.wait",
        "Condition.wait",
        "Semaphore.acquire",
        "Barrier.wait",
    ),
    "asyncio.queues": ("Queue.get", "Queue.put", "Queue.join"),
    "asyncio.taskgroups": ("TaskGroup.__aexit__",),
    "asyncio.streams": ("StreamReader._wait_for_data", "StreamWriter.drain"),
    "asyncio.threads": ("to_thread",),
}


class Function(msgspec.Struct, frozen=True):
    """A function of asyncio; `of_class` is what an instance of its class is (see CLASSES), "" for a plain function."""

    name: str
    of_class: str


class Asyncio:
    """asyncio in one interpreter of the process. Raises ReadError."""

    def __init__(self, interp: Interpreter, state: int) -> None:
        self.interp = interp
        self.state = state
        self._globals: dict[str, int | None] = {}
        self._kinds: dict[int, frozenset[str]] = {}
        self.without_blocks: set[tuple[int, int]] = set()  # code, byte: where a frame is in no `with` block
        self.is_there = self.find(TASKS, "Task") is not None

    def find(self, module: str, name: str) -> int | None:
        """A global of one of asyncio's modules; None where it has none, or is not loaded."""
        if module not in self._globals:
            found = read_module(self.interp, module, self.state)
            self._globals[module] = module_globals(self.interp, found) if found else None
        variables = self._globals[module]
        return find_item(self.interp, variables, name) if variables else None

    @cached_property
    def classes(self) -> dict[int, str]:
        """What instances of a class are, by its address."""
        found = {address: kind for names, kind in CLASSES.items() if (address := self.find(*names))}
        for module, name, kind in ((TASKS, "Task", "python task"), (FUTURES, "Future", "python future")):
            if address := self.find(module, name):
                found.setdefault(address, kind)
        return found

    @cached_property
    def functions(self) -> dict[int, Function]:
        """The functions in which tasks wait, by their code objects."""
        found: dict[int, Function] = {}
        for module, names in FUNCTIONS.items():
            for name in names:
                of_class = CLASSES.get((module, name.partition(".")[0]), "") if "." in name else ""
                code = self._find_code(module, name)
                if code:
                    found[code] = Function(name, of_class)
        return found

    def _find_code(self, module: str, name: str) -> int | None:
        """The code object of a function or `Class.method`; None where this release has none."""
        owner, _, method = name.partition(".")
        found = self.find(module, owner)
        if found and method:
            is_class = self.interp.type_flags(found) & TYPE
            found = find_item(self.interp, class_dict(self.interp, found), method) if is_class else None
        return find_function_code(self.interp, found) if found else None

    def kinds(self, address: int) -> frozenset[str]:
        """All that an object is of what CLASSES names, by its class and the bases of that. Raises ReadError."""
        of_type = type_of(self.interp, address).address
        if of_type not in self._kinds:
            self._kinds[of_type] = frozenset(self._read_kinds(of_type))
        return self._kinds[of_type]

    def _read_kinds(self, of_type: int) -> Iterator[str]:
        mro = self.interp.number(of_type, "PyTypeObject", "tp_mro")
        for base in read_tuple(self.interp, mro, MRO_LIMIT) if mro else [of_type]:
            if base in self.classes:
                yield self.classes[base]

    def check(self) -> None:
        """Raises ReadError where tasks made in C are not as this layout has them."""
        native = self.find(TASKS, "_CTask")
        if not native:
            return
        size = self.interp.number(native, "PyTypeObject", "tp_basicsize")
        layout = self.interp.layout
        if not layout.has("TaskObj", "task_coro"):
            raise ReadError(f"asyncio of CPython {layout.release} is not known to this lastwords")
        if size != layout.size("TaskObj"):
            raise ReadError(
                f"asyncio's Task has {size} bytes, not {layout.size('TaskObj')} as in CPython "
                f"{layout.provenance['release']}: its tasks are not told"
            )


def find_asyncio(interp: Interpreter) -> Iterator[Asyncio]:
    """asyncio of each interpreter that has loaded it, the main one first. Raises ReadError."""
    for state in reversed(interp.interpreters()):
        found = Asyncio(interp, state)
        if found.is_there:
            yield found
