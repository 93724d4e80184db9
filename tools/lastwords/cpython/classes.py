"""Which class of the standard library an object is an instance of: told by identity, never by the name alone.

A class of Python is the very object that its module has under that name, or one that has it among its bases. A type
made in C has that `tp_name`, and a method whose descriptor says that it was made for this type: no class statement
can make such a one, and it holds in every interpreter of a process and after a library has patched the module.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.callables import old_class_name
from lastwords.cpython.dicts import find_item
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import module_globals
from lastwords.cpython.text import read_text
from lastwords.cpython.types import Kind, read_kind, type_name, type_of

CLASSES_LIMIT = 200
NAME_LIMIT = 256
# tp_name: (the kind of lock, a method that the type has)
NATIVE = {
    "thread.lock": ("lock", "acquire"),
    "_thread.lock": ("lock", "acquire"),
    "_thread.RLock": ("rlock", "acquire"),
    "_thread._ThreadHandle": ("thread_handle", "join"),
    "_queue.SimpleQueue": ("simple_queue", "get"),
    "_multiprocessing.SemLock": ("process_lock", "acquire"),
}
THREADING, QUEUE, PROCESSES = ("threading",), ("queue", "Queue"), ("multiprocessing.synchronize",)
# name of the class: (the kind of lock, the names of its module in sys.modules); those with _ first are 2.7's
PYTHON = {
    "_RLock": ("rlock", THREADING),
    "Condition": ("condition", THREADING),
    "_Condition": ("condition", THREADING),
    "Event": ("event", THREADING),
    "_Event": ("event", THREADING),
    "Semaphore": ("semaphore", THREADING),
    "_Semaphore": ("semaphore", THREADING),
    "Barrier": ("barrier", THREADING),
    "Thread": ("thread", THREADING),
    "Queue": ("queue", QUEUE),
    "Future": ("future", ("concurrent.futures._base",)),
    "_ModuleLock": ("module_lock", ("_frozen_importlib",)),
    "SemLock": ("process_lock", PROCESSES),
    "JoinableQueue": ("process_queue", ("multiprocessing.queues",)),
}
OF_PROCESSES = {"Condition": "process_condition", "Event": "process_event", "Barrier": "process_barrier"}


class LockClass(msgspec.Struct, frozen=True):
    """A class whose instances are locks of one `kind` (see LockState); `name` as LockState.type has it.

    is_native: it, or one of its bases, is the type made in C
    """

    kind: str
    name: str
    is_native: bool


def find_lock_class(interp: Interpreter, address: int) -> LockClass | None:
    """The class of the lock at `address`; None for any other object. Raises ReadError."""
    of_class = class_of(interp, address)
    if of_class not in interp.lock_classes:
        try:
            interp.lock_classes[of_class] = _judge_class(interp, of_class)
        except ReadError as error:  # remembered, too: damaged memory would be searched for every object
            interp.lock_classes[of_class] = error
    found = interp.lock_classes[of_class]
    if isinstance(found, ReadError):
        raise found
    return found if isinstance(found, LockClass) else None


def is_deque(interp: Interpreter, address: int) -> bool:
    """Whether the object is a `collections.deque`."""
    kinds = read_mro(interp, type_of(interp, address))
    return any(kind.name == "collections.deque" and _is_native(interp, kind, "appendleft") for kind in kinds)


def class_of(interp: Interpreter, address: int) -> int:
    """The class of an object: its type, or the old-style class of an instance (2.7: `Queue.Queue` is one)."""
    kind = type_of(interp, address)
    if kind.is_static("instance") and interp.has("PyInstanceObject"):
        return interp.number(address, "PyInstanceObject", "in_class")
    return kind.address


def find_module_globals(interp: Interpreter, name: str) -> Iterator[int]:
    """The `__dict__` of the module `name` in each interpreter of the process that has it. Raises ReadError."""
    for state in interp.interpreters():
        modules = interp.number(state, "PyInterpreterState", "imports.modules")
        module = find_item(interp, modules, name) if modules else None
        variables = module_globals(interp, module) if module else None
        if variables:
            yield variables


def _judge_class(interp: Interpreter, of_class: int) -> LockClass | None:
    for address, name in _bases(interp, of_class):
        if name in NATIVE and not _is_old(interp, address) and _is_native_lock(interp, read_kind(interp, address)):
            return LockClass(NATIVE[name][0], _class_name(interp, of_class), is_native=True)
        for kind, modules in (PYTHON.get(name, ("", ())), (OF_PROCESSES.get(name, ""), PROCESSES)):
            if kind and any(_is_global(interp, module, name, address) for module in modules):
                return LockClass(kind, _class_name(interp, of_class), is_native=False)
    return None


def _class_name(interp: Interpreter, of_class: int) -> str:
    if _is_old(interp, of_class):
        return old_class_name(interp, of_class)
    return type_name(interp, read_kind(interp, of_class))


def _is_global(interp: Interpreter, module: str, name: str, of_class: int) -> bool:
    """Whether the class is what the module has under this name, and was made there: gevent puts its own in place."""
    if not any(find_item(interp, one, name) == of_class for one in find_module_globals(interp, module)):
        return False
    made_in = find_item(interp, class_dict(interp, of_class), "__module__")
    return made_in is not None and read_text(interp, made_in, NAME_LIMIT) == module


def class_dict(interp: Interpreter, of_class: int) -> int:
    """The address of a class's `__dict__`."""
    struct, field = ("PyClassObject", "cl_dict") if _is_old(interp, of_class) else ("PyTypeObject", "tp_dict")
    return interp.number(of_class, struct, field)


def _is_native_lock(interp: Interpreter, kind: Kind) -> bool:
    return kind.name in NATIVE and _is_native(interp, kind, NATIVE[kind.name][1])


def _is_native(interp: Interpreter, kind: Kind, method: str) -> bool:
    """Whether a type was made in C: a static one, or one with a method whose descriptor was made for it."""
    if not kind.is_heap:
        return True
    found = find_item(interp, interp.number(kind.address, "PyTypeObject", "tp_dict"), method)
    return bool(
        found
        and type_of(interp, found).is_static("method_descriptor")
        and interp.number(found, "PyMethodDescrObject", "d_common.d_type") == kind.address
    )


def _bases(interp: Interpreter, of_class: int) -> Iterator[tuple[int, str]]:
    """(address, name) of the class and of its bases, in the order in which attributes are looked for."""
    for address in _base_classes(interp, of_class):
        if _is_old(interp, address):
            yield address, read_text(interp, interp.number(address, "PyClassObject", "cl_name"), NAME_LIMIT)
        else:
            yield address, read_kind(interp, address).name


def read_mro(interp: Interpreter, kind: Kind) -> Iterator[Kind]:
    """The type and its bases, without the old-style classes that 2.7 may have among them."""
    return (read_kind(interp, one) for one in _base_classes(interp, kind.address) if not _is_old(interp, one))


def _base_classes(interp: Interpreter, of_class: int) -> list[int]:
    if _is_old(interp, of_class):
        return _old_bases(interp, of_class)
    mro = interp.number(of_class, "PyTypeObject", "tp_mro")
    return read_tuple(interp, mro, CLASSES_LIMIT) if mro else [of_class]  # a type that was never made ready has none


def _is_old(interp: Interpreter, of_class: int) -> bool:
    return interp.has("PyClassObject") and type_of(interp, of_class).is_static("classobj")


def _old_bases(interp: Interpreter, of_class: int) -> list[int]:
    """2.7: the class and its bases, depth first, as PyClass looks attributes up."""
    waiting = [of_class]
    found: list[int] = []
    while waiting:
        if len(found) >= CLASSES_LIMIT:
            raise ReadError(f"the class at {of_class:#x} has more than {CLASSES_LIMIT} bases")
        found.append(waiting.pop())
        if _is_old(interp, found[-1]):
            bases = interp.number(found[-1], "PyClassObject", "cl_bases")
            waiting += reversed(read_tuple(interp, bases, CLASSES_LIMIT))
    return found
