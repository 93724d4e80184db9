"""The `threading.Thread` objects of the threads that run, by the interpreter's ident of each.

`threading._active` has them by ident. Under gevent's monkey patching its keys are greenlets: then a Thread is told
by the kernel's id that it noted of itself (`_native_id`, from 3.8 on), where no other has noted the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_attributes
from lastwords.cpython.dicts import find_item, named, read_items
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import module_globals, read_module
from lastwords.cpython.numbers import read_int
from lastwords.cpython.threading_state import (
    ACTIVE_LIMIT,
    DAEMONS,
    NAMES,
    find_main_thread,
    pick,
    read_flag,
    read_number,
    read_string,
)


class ThreadObject(msgspec.Struct, frozen=True):
    """A Thread: `key` in `_active`, `native_id` as it noted it; None where its attributes are not what they were."""

    address: int
    key: int
    name: str | None
    daemon: bool | None
    native_id: int | None


class ThreadObjects:
    """All Thread objects of one interpreter that run, read once."""

    def __init__(self, interp: Interpreter, state: int) -> None:
        self._interp = interp
        self._main: int | None = None
        self._all: dict[int, ThreadObject] = {}
        try:
            module = read_module(interp, "threading", state)
            variables = module_globals(interp, module) if module else None
            if variables:
                self._main = find_main_thread(interp, variables)
                self._all = {one.key: one for one in self._read_active(variables)}
        except ReadError:  # half of them is better than none
            return

    def find(self, ident: int, tid: int | None, is_main: bool | None) -> ThreadObject | None:
        """The Thread of the thread with that ident and native id; None where there is none, or it is not certain."""
        if ident in self._all:
            return self._all[ident]
        every = self._all.values()
        found = [one for one in every if (one.address == self._main if is_main else tid and one.native_id == tid)]
        return found[0] if len(found) == 1 else None

    def _read_active(self, variables: int) -> Iterator[ThreadObject]:
        active = find_item(self._interp, variables, "_active")
        items = read_items(self._interp, active, ACTIVE_LIMIT) if active else []
        self._interp.memory.read_many([(address, 64) for item in items for address in item])
        for key, thread in items:
            try:
                yield self._read(key, thread)
            except ReadError:
                continue

    def _read(self, key: int, thread: int) -> ThreadObject:
        interp = self._interp
        attributes = dict(named(interp, read_attributes(interp, thread)))
        return ThreadObject(
            address=thread,
            key=read_int(interp, key),
            name=read_string(interp, pick(attributes, NAMES)),
            daemon=read_flag(interp, pick(attributes, DAEMONS)),
            native_id=read_number(interp, attributes.get("_native_id")),
        )
