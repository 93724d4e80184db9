"""What the module `threading` believes: who is alive under which ident, and how a thread finds itself.

The module's names changed with the releases (`_Thread__name`, `_name`; `_get_ident`, `get_ident`): each is tried.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import find_attribute, read_attributes
from lastwords.cpython.callables import callable_name
from lastwords.cpython.current_greenlet import find_current_greenlet
from lastwords.cpython.dicts import find_item, named, read_items
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import read_lock
from lastwords.cpython.modules import find_global, module_globals, read_module
from lastwords.cpython.numbers import read_int
from lastwords.cpython.sets import read_set
from lastwords.cpython.structs import INT, LONG
from lastwords.cpython.text import read_text
from lastwords.cpython.types import is_subtype, type_name, type_of
from lastwords.model import ActiveThread, ThreadingState

ACTIVE_LIMIT = 100_000
ENDED_LIMIT = 100  # Thread objects, of whom the ended ones are told
NAMES = ("_name", "_Thread__name")
IDENTS = ("_ident", "_Thread__ident")
DAEMONS = ("_daemonic", "_Thread__daemonic")
STOPPED = ("_is_stopped", "_Thread__stopped")
GET_IDENT = ("get_ident", "_get_ident")
BUILTIN_MODULES = ("thread", "_thread")


class GetIdent(msgspec.Struct, frozen=True):
    """The function that `threading` calls to find itself, and whether it is the interpreter's own."""

    name: str | None
    module: str | None
    is_builtin: bool


def read_threading(interp: Interpreter, ident: int, moment: str = "") -> ThreadingState:
    """What `threading` believes now, seen by the thread whose native ident is `ident`.

    Without the module, or where reading stopped, `error` says so. `main_ident` is the ident of threading's main thread
    as its Thread object has it. `patched` says that the function is not the interpreter's own.
    """
    state = ThreadingState(moment=moment, native_ident=ident)
    try:
        module = read_module(interp, "threading")
        variables = module_globals(interp, module) if module else None
        if not variables:
            state.error = "threading is not imported"
            return state
        state.active = _read_active(interp, variables)
        state.main_ident = _read_main_ident(interp, variables)
        state.ended = list(_read_ended(interp, variables))
        _add_get_ident(interp, variables, state)
    except ReadError as error:
        state.error = str(error)
    return state


def _read_active(interp: Interpreter, variables: int) -> list[ActiveThread]:
    active = find_item(interp, variables, "_active")
    if not active:
        return []
    native = {ident for _, ident, _ in interp.threads()}
    return [_read_entry(interp, key, thread, native) for key, thread in read_items(interp, active, ACTIVE_LIMIT)]


def _read_ended(interp: Interpreter, variables: int) -> Iterator[str]:
    """The names of those in `_dangling`, a WeakSet of all Thread objects (from 3.4 on), that began and have ended."""
    dangling = find_item(interp, variables, "_dangling")
    data = find_attribute(interp, dangling, "data") if dangling else None
    for reference in read_set(interp, data)[:ENDED_LIMIT] if data else ():
        thread = interp.number(reference, "PyWeakReference", "wr_object")
        lock = read_lock(interp, thread) if thread else None
        if lock is not None and lock.kind == "thread" and lock.owner_ident and lock.locked is False:
            yield read_string(interp, _find_one(interp, thread, NAMES)) or "?"


def _read_entry(interp: Interpreter, key: int, thread: int, native: set[int]) -> ActiveThread:
    number = read_int(interp, key)
    attributes = dict(named(interp, read_attributes(interp, thread)))
    return ActiveThread(
        key=number,
        name=read_string(interp, pick(attributes, NAMES)),
        type=type_name(interp, type_of(interp, thread)),
        ident=read_number(interp, pick(attributes, IDENTS)),
        daemon=read_flag(interp, pick(attributes, DAEMONS)),
        is_native=number in native,
    )


def _find_one(interp: Interpreter, address: int, names: tuple[str, ...]) -> int | None:
    attributes = dict(named(interp, read_attributes(interp, address)))
    return pick(attributes, names)


def pick(attributes: dict[str, int], names: tuple[str, ...]) -> int | None:
    """The attribute that has one of these names."""
    return next((attributes[name] for name in names if name in attributes), None)


def read_string(interp: Interpreter, address: int | None) -> str | None:
    """A string; None for anything else."""
    try:
        return read_text(interp, address, 4096) if address else None
    except ReadError:  # a name may be set to anything
        return None


def read_number(interp: Interpreter, address: int | None) -> int | None:
    """A number; None for anything else."""
    is_int = address and interp.type_flags(address) & (INT | LONG)
    return read_int(interp, address) if address and is_int else None


def read_flag(interp: Interpreter, address: int | None) -> bool | None:
    """A number as a truth value; None for anything else."""
    number = read_number(interp, address)
    return None if number is None else bool(number)


def find_main_thread(interp: Interpreter, variables: int) -> int | None:
    """threading's Thread object of the main thread: `_main_thread`; 2.7 keeps it in the bound `_shutdown` alone."""
    main = find_item(interp, variables, "_main_thread")
    if main:
        return main
    shutdown = find_item(interp, variables, "_shutdown")
    if shutdown and type_of(interp, shutdown).name in ("instancemethod", "method"):
        return interp.number(shutdown, "PyMethodObject", "im_self") or None
    return None


def _read_main_ident(interp: Interpreter, variables: int) -> int | None:
    main = find_main_thread(interp, variables)
    return read_number(interp, _find_one(interp, main, IDENTS)) if main else None


def _add_get_ident(interp: Interpreter, variables: int, state: ThreadingState) -> None:
    function = next((found for name in GET_IDENT if (found := find_item(interp, variables, name))), None)
    if function is None:
        return
    known = read_get_ident(interp, function)
    state.get_ident, state.get_ident_module = known.name, known.module
    state.patched = not known.is_builtin
    if known.is_builtin:
        state.current_ident = state.native_ident
    elif (known.module or "").startswith(("gevent", "greenlet")):
        state.current_ident = find_current_greenlet(interp, state.native_ident or 0)


def read_get_ident(interp: Interpreter, function: int) -> GetIdent:
    """Name and module of the function, and whether it is the C function that `thread` or `_thread` was born with."""
    kind = type_of(interp, function)
    name = callable_name(interp, function)
    if kind.is_static("builtin_function_or_method"):
        module = read_string(interp, interp.number(function, "PyCFunctionObject", "m_module") or None)
        return GetIdent(name, module, name == "get_ident" and module in BUILTIN_MODULES)
    if is_subtype(interp, kind, "function"):
        variables = interp.number(function, "PyFunctionObject", "func_globals")
        module = read_string(interp, interp.number(function, "PyFunctionObject", "func_module") or None)
        return GetIdent(name, module or read_string(interp, find_item(interp, variables, "__name__")), False)
    return GetIdent(name or kind.name, read_string(interp, find_attribute(interp, function, "__module__")), False)


def is_main_stopped(interp: Interpreter) -> bool:
    """Whether threading has marked its main thread as stopped: `threading._shutdown` has begun."""
    main = find_global(interp, "threading", "_main_thread")
    if main is None:
        module = read_module(interp, "threading")
        variables = module_globals(interp, module) if module else None
        main = find_main_thread(interp, variables) if variables else None
    return bool(main and read_flag(interp, _find_one(interp, main, STOPPED)))
