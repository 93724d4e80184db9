"""Who might give back a lock that is not theirs: any code may call `release()` on a `threading.Lock`.

The standard library gives back its own locks alone, but for Condition.wait: see takers.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.expressions import evaluate_global, read_globals
from lastwords.cpython.holding.lock_calls import GIVING, NAME_LIMIT, LockCall, find_lock_calls
from lastwords.cpython.holding.program_code import ProgramCode, read_constants
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import find_attributes, read_lock
from lastwords.cpython.structs import BYTES, UNICODE
from lastwords.cpython.text import read_name

LOCKS_LIMIT = 8  # a Condition over a Condition over ... a lock


class Giver(msgspec.Struct, frozen=True):
    """A call in a code object, which runs in these globals, that may give back a lock."""

    code: int
    variables: int
    call: LockCall


class Givers:
    """All that may give back a lock in the program's code. Raises ReadError where that cannot be read."""

    def __init__(self, interp: Interpreter, places: Iterable[Place]) -> None:
        self.interp = interp
        self.program = ProgramCode(interp, places)

    @cached_property
    def _all(self) -> list[Giver]:
        return [one for code, variables in self.program.codes.items() for one in self._in_code(code, variables)]

    @cached_property
    def _kept(self) -> set[int | None]:
        """The locks of which a module keeps a method."""
        return {find_lock(self.interp, one) for one in self.program.bound if one}

    def find(self, lock: int, also: Place) -> Giver | None:
        """The first that may give back the lock at `lock`; in the frame `also`, too. Raises ReadError."""
        is_known = also.code in self.program.codes
        own = [] if is_known else self._in_code(also.code, read_globals(self.interp, also))
        return next((one for one in own + self._all if self._may_give(one, lock)), None)

    def is_kept(self, lock: int) -> bool:
        """Whether a module keeps a method of the lock, which anybody may call by any name."""
        return lock in self._kept

    def _in_code(self, code: int, variables: int) -> list[Giver]:
        calls = [call for call in find_lock_calls(self.interp, code) if call.method in GIVING]
        calls += [LockCall(name, None, 0, 0) for name in self._names_in(code)]
        return [Giver(code, variables, call) for call in calls]

    def _names_in(self, code: int) -> list[str]:
        """Names of methods as strings: `getattr(lock, "release")`."""
        constants = [
            one for one in read_constants(self.interp, code) if self.interp.type_flags(one) & (UNICODE | BYTES)
        ]
        return [name for one in constants if (name := self._read_name(one)) in GIVING]

    def _read_name(self, constant: int) -> str:
        try:
            return read_name(self.interp, constant, NAME_LIMIT)
        except ReadError:  # too long for a name, or bytes
            return ""

    def _may_give(self, giver: Giver, lock: int) -> bool:
        receiver = giver.call.receiver
        if receiver is None or not receiver.is_global:
            return True  # a variable may have meant anything
        found = evaluate_global(self.interp, giver.variables, receiver)
        return found is None or find_lock(self.interp, found) == lock


def find_lock(interp: Interpreter, address: int) -> int | None:
    """The lock that one takes by this object: itself, or the one below a Condition; None: no lock. Raises ReadError."""
    for _ in range(LOCKS_LIMIT):
        state = read_lock(interp, address)
        if state is None or state.kind != "condition":
            return state.address if state else None
        below = find_attributes(interp, address).get("_lock")
        if below is None:
            return None
        address = below
    raise ReadError(f"the lock at {address:#x} stands on too many others")
