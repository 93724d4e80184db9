"""Where a function's code takes or gives back a lock by hand: `lock.acquire()`, `self._lock.release()`.

A method that is only named (`callback(lock.release)`) counts as a call: whoever has it can call it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.cpython.bytecode import Instruction, once, read_instructions
from lastwords.cpython.holding.expressions import (
    ATTRIBUTES,
    ATTRIBUTES_LIMIT,
    Expression,
    expression_before,
    name_of,
    read_names,
)
from lastwords.cpython.structs import Structs
from lastwords.cpython.text import read_name

TAKING, GIVING = ("acquire",), ("release", "__exit__", "_release_save")
METHODS = (*TAKING, *GIVING)
NAMING = (*ATTRIBUTES, "LOAD_SUPER_ATTR")
NAME_LIMIT = 1 << 10


class LockCall(msgspec.Struct, frozen=True):
    """`method` of what `receiver` says (None: of something else), named at byte `start`, called up to byte `end`."""

    method: str
    receiver: Expression | None
    start: int
    end: int


def find_lock_calls(structs: Structs, code: int) -> list[LockCall]:
    """The calls in a function's own code, not in the functions that it makes. Raises ReadError."""
    return once(structs, code, "lock calls", lambda: _read_calls(structs, code))


def _read_calls(structs: Structs, code: int) -> list[LockCall]:
    if not any(read_name(structs, name, NAME_LIMIT) in METHODS for name in read_names(structs, code)):
        return []
    return list(_find_calls(structs, code, read_instructions(structs, code)))


def _find_calls(structs: Structs, code: int, instructions: list[Instruction]) -> Iterator[LockCall]:
    for at, one in enumerate(instructions):
        if one.name not in NAMING or (method := name_of(structs, code, one)) not in METHODS:
            continue
        before = instructions[max(at - ATTRIBUTES_LIMIT, 0) : at]
        receiver = expression_before(structs, code, before) if one.name in ATTRIBUTES else None
        calls = (other.end for other in instructions[at + 1 :] if other.name.startswith("CALL"))
        yield LockCall(method, receiver, one.start, next(calls, one.end))
