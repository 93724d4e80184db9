"""gevent's locks: what one takes by an object in a `with` statement, how it stands, and who has an RLock.

A Condition or RLock of `threading` may stand on a lock of gevent's, too: patched programs make them so.
"""

from __future__ import annotations

import msgspec

from lastwords.cpython.classes import find_lock_class
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import find_attributes, read_count
from lastwords.cpython.structs import INT, LONG
from lastwords.cpython.types import type_name, type_of
from lastwords.greenlets.cython_fields import Fields
from lastwords.greenlets.waits_links import read_number

NESTING = 4  # a Condition over an RLock over a lock
LOCKS = ("semaphore", "lock")


class GreenLock(msgspec.Struct, frozen=True):
    """A lock of gevent's.

    count: what a semaphore has left; most: what a bounded one begins with; owner: the greenlet that has the RLock
    outer: the RLock over it, 0 for none; levels: how often its owner has taken that
    """

    address: int
    kind: str
    type: str
    count: int | None
    most: int | None
    owner: int = 0
    outer: int = 0
    levels: int = 0


class Locks:
    """Reads them, each once."""

    def __init__(self, interp: Interpreter, fields: Fields, classes: dict[int, str]) -> None:
        self.interp, self.fields, self.classes = interp, fields, classes
        self._known: dict[int, GreenLock | None] = {}

    def find(self, address: int, nesting: int = NESTING) -> GreenLock | None:
        """The lock that one takes by the object at `address`; None for any other object. Raises ReadError."""
        if address not in self._known:
            self._known[address] = self._find(address, nesting)
        return self._known[address]

    def _find(self, address: int, nesting: int) -> GreenLock | None:
        kind = self.classes.get(self.interp.number(address, "PyObject", "ob_type"), "")
        if kind in LOCKS:
            return self._read(address, kind)
        if kind == "rlock":  # gevent's own, which may have slots
            names = ("_block", "_owner", "_count")
            attributes = {name: value for name in names if (value := self.fields.read(address, name))}
        else:
            of_library = find_lock_class(self.interp, address)
            kind = of_library.kind if of_library is not None and not of_library.is_native else ""
            attributes = find_attributes(self.interp, address) if kind in ("rlock", "condition") else {}
        if not attributes or not nesting:
            return None
        below = attributes.get("_block") if kind == "rlock" else attributes.get("_lock")
        lock = self.find(below, nesting - 1) if below else None
        if lock is None or kind == "condition":
            return lock
        owner, levels = self._read_owner(attributes.get("_owner")), read_count(self.interp, attributes.get("_count"))
        return msgspec.structs.replace(lock, owner=owner, outer=address, levels=levels or 0)

    def _read(self, address: int, kind: str) -> GreenLock:
        count = read_number(self.fields, address, "counter")
        most = 1 if kind == "lock" else read_number(self.fields, address, "_initial_value")
        return GreenLock(address, kind, type_name(self.interp, type_of(self.interp, address)), count, most)

    def _read_owner(self, owner: int | None) -> int:
        """gevent's RLock keeps the greenlet; that of `threading` its ident, which is the greenlet's address."""
        if not owner or type_of(self.interp, owner).is_static("NoneType"):
            return 0
        return (read_count(self.interp, owner) or 0) if self.interp.type_flags(owner) & (INT | LONG) else owner
