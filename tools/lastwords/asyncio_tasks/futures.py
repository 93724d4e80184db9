"""Futures and tasks: their fields, whether they are made in C (FutureObj, TaskObj) or in Python (Lib/asyncio)."""

from __future__ import annotations

import msgspec

from lastwords.asyncio_tasks.classes import FUTURE_KINDS, TASK_KINDS, Asyncio
from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import find_attribute, read_attributes
from lastwords.cpython.dicts import named
from lastwords.cpython.numbers import read_int
from lastwords.cpython.structs import INT, LONG
from lastwords.cpython.text import read_text
from lastwords.cpython.types import type_of

NAME_LIMIT = 1 << 10  # characters
NATIVE = ("task_state", "task_loop", "task_coro", "task_fut_waiter")
CANCELS = ("task_must_cancel", "task_num_cancels_requested")
PENDING = 0  # fut_state of Modules/_asynciomodule.c


class TaskState(msgspec.Struct, frozen=True):
    """A task as it stood; addresses, 0 where it has none.

    awaits: the future that it waits for; cancelling: somebody has asked it to end by CancelledError
    """

    address: int
    pending: bool
    loop: int = 0
    coroutine: int = 0
    name: int = 0
    awaits: int = 0
    cancelling: bool = False


def is_task(asyncio: Asyncio, address: int) -> bool:
    """Whether it is an asyncio task. Raises ReadError."""
    return bool(asyncio.kinds(address) & TASK_KINDS)


def is_future(asyncio: Asyncio, address: int) -> bool:
    """Whether it is an asyncio future, of which tasks are a kind. Raises ReadError."""
    return bool(asyncio.kinds(address) & FUTURE_KINDS)


def is_pending(asyncio: Asyncio, future: int) -> bool:
    """Whether it is still to be done. Raises ReadError."""
    interp = asyncio.interp
    if asyncio.kinds(future) & {"future", "task"}:
        return interp.number(future, "FutureObj", "fut_state") == PENDING
    state = find_attribute(interp, future, "_state")  # until it is done the class alone has one
    return state is None or read_text(interp, state, NAME_LIMIT) == "PENDING"


def read_task(asyncio: Asyncio, address: int) -> TaskState:
    """The task at `address`. Raises ReadError for what is none."""
    kinds = asyncio.kinds(address)
    if "task" in kinds:
        return _read_native(asyncio, address)
    if "python task" in kinds:
        return _read_python(asyncio, address)
    raise ReadError(f"the object at {address:#x} is no task of asyncio")


def _read_native(asyncio: Asyncio, address: int) -> TaskState:
    interp = asyncio.interp
    state, *objects = interp.numbers(address, "TaskObj", *NATIVE)
    loop, coroutine, awaits = (_without_none(asyncio, one) for one in objects)
    return TaskState(
        address,
        pending=state == PENDING,
        loop=loop,
        coroutine=coroutine,
        name=interp.number(address, "TaskObj", "task_name") if interp.has("TaskObj", "task_name") else 0,
        awaits=awaits,
        cancelling=any(interp.has("TaskObj", one) and interp.number(address, "TaskObj", one) for one in CANCELS),
    )


def _read_python(asyncio: Asyncio, address: int) -> TaskState:
    interp = asyncio.interp
    own = dict(named(interp, read_attributes(interp, address)))
    cancels = (_read_count(asyncio, own.get(name)) for name in ("_must_cancel", "_num_cancels_requested"))
    return TaskState(
        address,
        pending=is_pending(asyncio, address),
        loop=_without_none(asyncio, own.get("_loop", 0)),
        coroutine=_without_none(asyncio, own.get("_coro", 0)),
        name=own.get("_name", 0),
        awaits=_without_none(asyncio, own.get("_fut_waiter", 0)),
        cancelling=any(cancels),
    )


def _without_none(asyncio: Asyncio, address: int) -> int:
    return address if address and not type_of(asyncio.interp, address).is_static("NoneType") else 0


def _read_count(asyncio: Asyncio, address: int | None) -> int:
    is_number = address and asyncio.interp.type_flags(address) & (INT | LONG)
    return read_int(asyncio.interp, address) if address and is_number else 0


def read_name(asyncio: Asyncio, task: TaskState) -> str | None:
    """What the task is called; None before 3.8, where tasks had no names. Raises ReadError.

    A name that nobody has asked for may still be a number, which asyncio shows as `Task-7`.
    """
    interp = asyncio.interp
    if not task.name or type_of(interp, task.name).is_static("NoneType"):
        return None
    if interp.type_flags(task.name) & LONG:
        return f"Task-{read_int(interp, task.name)}"
    return read_text(interp, task.name, NAME_LIMIT)
