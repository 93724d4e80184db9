"""The frame of a suspended generator: what `@contextmanager` leaves behind while its `with` block runs."""

from __future__ import annotations

from lastwords.cpython.attributes import find_attribute
from lastwords.cpython.classes import class_of, find_module_globals
from lastwords.cpython.dicts import find_item
from lastwords.cpython.frame import Place, read_object, read_record
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.structs import Structs
from lastwords.cpython.types import Kind, type_of

MANAGERS = ("_GeneratorContextManager", "_AsyncGeneratorContextManager", "GeneratorContextManager")  # the last: 2.7's
KINDS = ("generator", "async_generator")  # one struct, PyGenObject; a coroutine is its task's


def find_manager_place(interp: Interpreter, manager: int) -> Place | None:
    """Where the generator of a `@contextmanager` stands; None for any other object. Raises ReadError."""
    if not is_generator_manager(interp, manager):
        return None
    generator = find_attribute(interp, manager, "gen")
    return find_generator_place(interp, generator) if generator else None


def is_generator_manager(interp: Interpreter, address: int) -> bool:
    """Whether the object is what calling a `@contextmanager` function returns."""
    of_class = class_of(interp, address)
    return any(
        find_item(interp, variables, name) == of_class
        for variables in find_module_globals(interp, "contextlib")
        for name in MANAGERS
    )


def find_generator_place(structs: Structs, generator: int) -> Place | None:
    """Where a generator stands; None where it has not begun or has ended, and for others. Raises ReadError."""
    return read_generator_place(structs, generator) if is_generator(type_of(structs, generator)) else None


def is_generator(kind: Kind) -> bool:
    """Whether objects of this type are generators."""
    return any(kind.is_static(name) for name in KINDS)


def read_generator_place(structs: Structs, generator: int) -> Place | None:
    """Where a generator stands; None where it has not begun or has ended. Raises ReadError."""
    if structs.has("PyGenObject", "gi_iframe"):
        return read_record(structs, structs.at(generator, "PyGenObject", "gi_iframe"))[0]
    frame = structs.number(generator, "PyGenObject", "gi_frame")
    return read_object(structs, frame)[0] if frame else None
