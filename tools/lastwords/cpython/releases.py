"""Who might give back a lock that is not theirs: any code may call `release()` on a `threading.Lock`.

Looked at is the code that the threads are in, and the functions and classes of the modules that it is from. The
standard library gives back its own locks alone (but for Condition.wait, see holds.py) and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.classes import find_module_globals
from lastwords.cpython.code import is_code, read_code
from lastwords.cpython.dicts import find_item, read_items
from lastwords.cpython.expressions import evaluate_global, read_globals
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.lock_calls import GIVING, LockCall, find_lock_calls
from lastwords.cpython.locks import find_attributes, read_lock
from lastwords.cpython.structs import TYPE
from lastwords.cpython.types import type_of

CODES_LIMIT = 5000
LOCKS_LIMIT = 8  # a Condition over a Condition over ... a lock
PACKAGES = ("/site-packages/", "/dist-packages/")
CONDITIONS = ("Condition", "_Condition")  # 2.7: a function and the class that it makes


class Giver(NamedTuple):
    """A call in code of the module with these globals that may give back a lock."""

    code: int
    variables: int
    call: LockCall


class Givers:
    """The calls of all code that was looked at; `is_complete`: whether that was all there is to look at."""

    def __init__(self, interp: Interpreter, places: Iterable[Place]) -> None:
        self.interp = interp
        self.is_complete = True
        self._library = _library_folder(interp)
        self._found: list[Giver] = []
        self._seen: set[int] = set()
        for place in places:
            self._look(place)

    def find(self, lock: int, also: Place) -> Giver | None:
        """The first call that may give back the lock at `lock`, in the frame `also`, too. Raises ReadError."""
        variables = read_globals(self.interp, also)
        own = [Giver(also.code, variables, call) for call in _givings(self.interp, also.code)]
        return next((one for one in own + self._found if self._may_give(one, lock)), None)

    def _may_give(self, giver: Giver, lock: int) -> bool:
        receiver = giver.call.receiver
        if receiver is None or not receiver.is_global:
            return True  # a variable may have meant anything
        found = evaluate_global(self.interp, giver.variables, receiver)
        return found is None or find_lock(self.interp, found) == lock

    def _look(self, place: Place) -> None:
        if self._is_ours(place.code):
            return
        variables = read_globals(self.interp, place)
        self._add(place.code, variables)
        if variables not in self._seen:
            self._seen.add(variables)
            for code in _module_codes(self.interp, variables):
                self._add(code, variables)

    def _is_ours(self, code: int) -> bool:
        """Whether the code is the standard library's."""
        file = read_code(self.interp, code).file
        is_inside = bool(self._library) and file.startswith(self._library)
        return (is_inside and not any(one in file for one in PACKAGES)) or file.startswith("<frozen ")

    def _add(self, code: int, variables: int) -> None:
        waiting = [code]
        while waiting:
            one = waiting.pop()
            if one in self._seen:
                continue
            if len(self._seen) >= CODES_LIMIT:
                self.is_complete = False
                return
            self._seen.add(one)
            self._found += [Giver(one, variables, call) for call in _givings(self.interp, one)]
            waiting += _nested(self.interp, one)


def _givings(interp: Interpreter, code: int) -> list[LockCall]:
    return [call for call in find_lock_calls(interp, code) if call.method in GIVING]


def _nested(interp: Interpreter, code: int) -> list[int]:
    constants = read_tuple(interp, interp.number(code, "PyCodeObject", "co_consts"))
    return [one for one in constants if is_code(interp, one)]


def _module_codes(interp: Interpreter, variables: int) -> Iterator[int]:
    """The code of a module's functions and of its classes' methods."""
    for _, value in read_items(interp, variables):
        yield from _function_code(interp, value, variables)
        if interp.type_flags(value) & TYPE:
            for _, method in read_items(interp, interp.number(value, "PyTypeObject", "tp_dict")):
                yield from _function_code(interp, method, variables)


def _function_code(interp: Interpreter, address: int, variables: int) -> Iterator[int]:
    if type_of(interp, address).is_static("function"):
        code, of_module = interp.numbers(address, "PyFunctionObject", "func_code", "func_globals")
        if of_module == variables:
            yield code


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


def find_wait_code(interp: Interpreter) -> set[int]:
    """The code of `threading.Condition.wait`, in each interpreter of the process that has it. Raises ReadError."""
    found = set()
    for variables in find_module_globals(interp, "threading"):
        for name in CONDITIONS:
            of_class = find_item(interp, variables, name)
            if not of_class or not interp.type_flags(of_class) & TYPE:
                continue
            wait = find_item(interp, interp.number(of_class, "PyTypeObject", "tp_dict"), "wait")
            if wait and type_of(interp, wait).is_static("function"):
                found.add(interp.number(wait, "PyFunctionObject", "func_code"))
    return found


def _library_folder(interp: Interpreter) -> str:
    """Where the standard library is, with a / behind; "" where that is not known."""
    for code in find_wait_code(interp):
        return read_code(interp, code).file.rpartition("/")[0] + "/"
    return ""
