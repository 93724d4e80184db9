"""`sys.modules`, modules' globals, and attributes by name.

`state` is the PyInterpreterState whose modules they are; without it those of the main interpreter.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import find_attribute
from lastwords.cpython.dicts import find_item, named, read_items, read_named
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.structs import Structs
from lastwords.cpython.text import read_text
from lastwords.cpython.types import is_subtype, type_of

FIRST = 8
NAME_LIMIT = 1 << 14  # characters


def read_modules(interp: Interpreter, state: int | None = None) -> list[str]:
    """The names in `sys.modules`, in its order: that of the imports from 3.6 on, none before. Raises ReadError."""
    return [name for name, _ in _modules(interp, state)]


def read_module(interp: Interpreter, name: str, state: int | None = None) -> int | None:
    """The address of `sys.modules[name]`; None if it is not there. Raises ReadError."""
    modules = _modules_dict(interp, state)
    return find_item(interp, modules, name) if modules else None


def _modules(interp: Interpreter, state: int | None) -> Iterator[tuple[str, int]]:
    modules = _modules_dict(interp, state)
    return read_named(interp, modules) if modules else iter(())


def _modules_dict(interp: Interpreter, state: int | None) -> int:
    return interp.number(state or interp.main, "PyInterpreterState", "imports.modules")


def module_globals(interp: Interpreter, module: int) -> int | None:
    """The address of a module's `__dict__`; None where it is no module (anything may stand in `sys.modules`)."""
    if not is_subtype(interp, type_of(interp, module), "module"):
        return None
    return interp.number(module, "PyModuleObject", "md_dict") or None


def read_module_name(structs: Structs, variables: int) -> str | None:
    """`__name__` of a module, by the address of its globals; None where they have none. Raises ReadError.

    It is looked for among the first names before all others: a module is born with it.
    """
    if variables not in structs.modules:
        items = read_items(structs, variables)
        parts = (items[:FIRST], items[FIRST:])
        found = next((value for part in parts for name, value in named(structs, part) if name == "__name__"), None)
        structs.modules[variables] = _text_or_none(structs, found)
    return structs.modules[variables]


def _text_or_none(structs: Structs, address: int | None) -> str | None:
    try:
        return read_text(structs, address, NAME_LIMIT) if address else None
    except ReadError:  # it may be set to anything
        return None


def find_global(interp: Interpreter, module: str, name: str, state: int | None = None) -> int | None:
    """The address of a module's global; None where there is no such module or name. Raises ReadError."""
    found = read_module(interp, module, state)
    variables = module_globals(interp, found) if found else None
    return find_item(interp, variables, name) if variables else None


def read_attribute(interp: Interpreter, address: int, name: str) -> int | None:
    """An attribute that an instance or a module has of its own (not by its class); None if it has none.

    Raises ReadError.
    """
    if is_subtype(interp, type_of(interp, address), "module"):
        variables = module_globals(interp, address)
        return find_item(interp, variables, name) if variables else None
    return find_attribute(interp, address, name)


def read_builtin_function_address(interp: Interpreter, module: str, name: str) -> int | None:
    """The C function behind a builtin function, to break on: `("_thread", "_excepthook")`; None where it is none."""
    try:
        found = find_global(interp, module, name)
        if not found or not type_of(interp, found).is_static("builtin_function_or_method"):
            return None
        method = interp.number(found, "PyCFunctionObject", "m_ml")
        return interp.number(method, "PyMethodDef", "ml_meth")
    except ReadError:
        return None
