"""The program's own code: what its threads are in, and the functions and methods of the modules that this is from.

The standard library's is left out: what it does with a program's objects is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.classes import find_module_globals
from lastwords.cpython.code import find_function_code, is_code, read_code
from lastwords.cpython.dicts import find_item, read_items
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.expressions import read_globals
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.structs import TYPE
from lastwords.cpython.types import type_of

CODES_LIMIT = 5000
WRAPPED_LIMIT = 4  # a decorator's function has what it decorates in its closure, and may be decorated again
PACKAGES = ("/site-packages/", "/dist-packages/")
FROZEN = "<frozen "
CONDITIONS = ("Condition", "_Condition")  # 2.7: a function and the class that it makes


class ProgramCode:
    """`codes`: each code object with the globals that it runs in. `is_complete`: whether that was all.

    bound: the objects of which a module keeps a method that is made in C: `give_back = lock.release`
    """

    def __init__(self, interp: Interpreter, places: Iterable[Place]) -> None:
        self.interp = interp
        self.codes: dict[int, int] = {}
        self.bound: set[int] = set()
        self.is_complete = True
        self._library = _find_library(interp)
        self._modules: set[int] = set()
        for place in places:
            variables = read_globals(interp, place)
            if self._add(place.code, variables) and variables not in self._modules:
                self._modules.add(variables)
                self._add_module(variables)

    def _add_module(self, variables: int) -> None:
        for _, value in read_items(self.interp, variables):
            self._add_value(value)
            if self.interp.type_flags(value) & TYPE:
                for _, method in read_items(self.interp, self.interp.number(value, "PyTypeObject", "tp_dict")):
                    self._add_value(method)
            elif type_of(self.interp, value).is_static("builtin_function_or_method"):
                self.bound.add(self.interp.number(value, "PyCFunctionObject", "m_self"))

    def _add_value(self, value: int) -> None:
        for function in _functions(self.interp, value, WRAPPED_LIMIT):
            self._add(*self.interp.numbers(function, "PyFunctionObject", "func_code", "func_globals"))

    def _add(self, code: int, variables: int) -> bool:
        """Adds it with the functions that it makes; False for the standard library's."""
        if self._is_library(code):
            return False
        waiting = [code]
        while waiting and self.is_complete:
            one = waiting.pop()
            if one not in self.codes:
                self.is_complete = len(self.codes) < CODES_LIMIT
                self.codes[one] = variables
                waiting += [const for const in read_constants(self.interp, one) if is_code(self.interp, const)]
        return True

    def _is_library(self, code: int) -> bool:
        file = read_code(self.interp, code).file
        is_inside = bool(self._library) and file.startswith(self._library)
        return file.startswith(FROZEN) or (is_inside and not any(one in file for one in PACKAGES))


def read_constants(interp: Interpreter, code: int) -> list[int]:
    """The addresses of a code object's constants. Raises ReadError."""
    return read_tuple(interp, interp.number(code, "PyCodeObject", "co_consts"))


def _functions(interp: Interpreter, value: int, limit: int) -> Iterator[int]:
    """The functions of Python that an object is, holds as a method, or wraps in its closure."""
    kind = type_of(interp, value)
    if kind.is_static("staticmethod"):
        value = interp.number(value, "staticmethod", "sm_callable")
    elif kind.is_static("classmethod"):
        value = interp.number(value, "classmethod", "cm_callable")
    if not value or limit == 0 or not type_of(interp, value).is_static("function"):
        return
    yield value
    closure = interp.number(value, "PyFunctionObject", "func_closure")
    for cell in read_tuple(interp, closure) if closure else []:
        inside = interp.number(cell, "PyCellObject", "ob_ref")
        if inside:
            yield from _functions(interp, inside, limit - 1)


def find_wait_code(interp: Interpreter) -> set[int]:
    """The code of `threading.Condition.wait`, in each interpreter of the process that has it. Raises ReadError."""
    return find_condition_code(interp, "wait")


def find_condition_code(interp: Interpreter, method: str) -> set[int]:
    """The code of a method of `threading.Condition`, in each interpreter that has it. Raises ReadError."""
    found: set[int] = set()
    for variables in find_module_globals(interp, "threading"):
        for name in CONDITIONS:
            of_class = find_item(interp, variables, name)
            if not of_class or not interp.type_flags(of_class) & TYPE:
                continue
            function = find_item(interp, interp.number(of_class, "PyTypeObject", "tp_dict"), method)
            code = find_function_code(interp, function) if function else None
            found.update([code] if code else [])
    return found


def _find_library(interp: Interpreter) -> str:
    """Where the standard library is, with a / behind; "" where that is not known."""
    for code in find_wait_code(interp):
        return read_code(interp, code).file.rpartition("/")[0] + "/"
    return ""
