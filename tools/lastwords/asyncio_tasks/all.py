"""All tasks that asyncio itself keeps account of, and those that run right now.

To 3.11 one WeakSet, to 3.13 one for tasks and a set for eager ones. From 3.14 on those made in C are on a list of
each thread, and on one of the interpreter when their thread has ended (`task_node`); others are in the WeakSet still.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lastwords.asyncio_tasks.classes import TASKS, Asyncio
from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import find_attribute
from lastwords.cpython.dicts import read_items
from lastwords.cpython.sets import read_set
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.types import is_subtype, type_of

TASKS_LIMIT = 100_000
LOOPS_LIMIT = 10_000
WEAK, STRONG = ("_all_tasks", "_scheduled_tasks"), ("_eager_tasks",)
REFERENCES = ("weakref.ReferenceType", "weakref")  # its name until 3.11
TOGETHER = 200  # bytes of a task that are read in one go with others


class Found:
    """The addresses of tasks, finished ones among them, in no order; `problems` says what is missing, and why."""

    def __init__(self, asyncio: Asyncio, threads: Sequence[PythonThread]) -> None:
        self.asyncio = asyncio
        self.problems: list[str] = []
        self._found: dict[int, None] = {}
        for search in (_find_registered(asyncio), _find_linked(asyncio, threads)):
            try:
                self._collect(search)
            except ReadError as error:
                self.problems.append(str(error))
        self.addresses = list(self._found)
        asyncio.interp.memory.read_many([(address, TOGETHER) for address in self.addresses])

    def _collect(self, search: Iterator[int]) -> None:
        for address in search:
            if len(self._found) >= TASKS_LIMIT:
                raise ReadError(f"there are more than {TASKS_LIMIT}")
            self._found[address] = None


def _find_registered(asyncio: Asyncio) -> Iterator[int]:
    interp = asyncio.interp
    for name in WEAK:
        weak_set = asyncio.find(TASKS, name)
        data = find_attribute(interp, weak_set, "data") if weak_set else None
        references = read_set(interp, data) if data and is_subtype(interp, type_of(interp, data), "set") else []
        interp.memory.read_many([(one, TOGETHER) for one in references])
        for one in references:
            if not any(is_subtype(interp, type_of(interp, one), kind) for kind in REFERENCES):
                continue
            task = interp.number(one, "PyWeakReference", "wr_object")
            if task and not type_of(interp, task).is_static("NoneType"):
                yield task
    for name in STRONG:
        found = asyncio.find(TASKS, name)
        if found and is_subtype(interp, type_of(interp, found), "set"):
            yield from read_set(interp, found)


def _find_linked(asyncio: Asyncio, threads: Sequence[PythonThread]) -> Iterator[int]:
    interp = asyncio.interp
    if not interp.has("TaskObj", "task_node"):
        return
    yield from _follow(asyncio, interp.at(asyncio.state, "PyInterpreterState", "asyncio_tasks_head"))
    for thread in threads:
        if interp.number(thread.tstate, "PyThreadState", "interp") == asyncio.state:
            yield from _follow(asyncio, interp.at(thread.tstate, "_PyThreadStateImpl", "asyncio_tasks_head"))


def _follow(asyncio: Asyncio, head: int) -> Iterator[int]:
    """A circle of `struct llist_node` (pycore_llist.h), whose first word is the next one."""
    interp = asyncio.interp
    offset = interp.layout.offset("TaskObj", "task_node")
    node = interp.pointer(head)
    for _ in range(TASKS_LIMIT):
        if node in (head, 0):
            return
        yield node - offset
        node = interp.pointer(node)
    raise ReadError(f"the list of tasks at {head:#x} does not end")


def find_current(asyncio: Asyncio, threads: Sequence[PythonThread]) -> dict[int, PythonThread | None]:
    """The tasks that run now by asyncio's own account, each with its thread where that is told. Raises ReadError."""
    interp = asyncio.interp
    found: dict[int, PythonThread | None] = {}
    current = asyncio.find(TASKS, "_current_tasks")
    for _, task in read_items(interp, current, LOOPS_LIMIT) if current else ():
        found[task] = None
    if interp.has("_PyThreadStateImpl", "asyncio_running_task"):
        for thread in threads:
            if task := interp.number(thread.tstate, "_PyThreadStateImpl", "asyncio_running_task"):
                found[task] = thread
    return found
