"""Exceptions (Objects/exceptions.c, Python/errors.c): the pending one, the handled one, the last one, and any other.

To 3.11 the pending exception is `curexc_type`, `curexc_value`, `curexc_traceback`, and the value may not be an
exception yet: nothing, an argument, or a tuple of arguments. From 3.12 it is `current_exception`, an exception.
"""

from __future__ import annotations

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.dicts import find_item
from lastwords.cpython.exception_text import read_exception_text, text_of_arguments
from lastwords.cpython.frame import add_sources
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.structs import EXCEPTION, TUPLE, TYPE
from lastwords.cpython.traceback import read_traceback
from lastwords.cpython.types import bases, read_kind, type_name, type_of
from lastwords.cpython.values import read_value
from lastwords.model import ExceptionValue, Value

CHAIN_LIMIT = 4  # of __cause__ and __context__
STACK_LIMIT = 1000
ARGUMENTS_LIMIT = 20


def read_pending_exception(interp: Interpreter, tstate: int) -> ExceptionValue | None:
    """The exception that is on its way in a thread and not handled yet; None if there is none. Raises ReadError."""
    if interp.has("PyThreadState", "current_exception"):
        return _or_none(interp, interp.number(tstate, "PyThreadState", "current_exception"))
    return _read_triple(interp, tstate, "curexc_type", "curexc_value", "curexc_traceback")


def find_pending_traceback(interp: Interpreter, tstate: int) -> int | None:
    """The address of the first (outermost) entry of the pending exception's traceback, None without."""
    if interp.has("PyThreadState", "curexc_traceback"):
        return interp.number(tstate, "PyThreadState", "curexc_traceback") or None
    value = interp.number(tstate, "PyThreadState", "current_exception")
    return interp.number(value, "PyBaseExceptionObject", "traceback") or None if value else None


def read_handled_exception(interp: Interpreter, tstate: int) -> ExceptionValue | None:
    """The exception that an `except` or `finally` of this thread is handling (`sys.exc_info()`). Raises ReadError."""
    if not interp.has("PyThreadState", "exc_info"):
        return _read_triple(interp, tstate, "exc_type", "exc_value", "exc_traceback")
    item = interp.number(tstate, "PyThreadState", "exc_info")
    for _ in range(STACK_LIMIT):
        if not item:
            return None
        value = interp.number(item, "_PyErr_StackItem", "exc_value")
        if value and not is_none(interp, value):
            return read_exception(interp, value)
        item = interp.number(item, "_PyErr_StackItem", "previous_item")
    raise ReadError(f"more than {STACK_LIMIT} exceptions are being handled")


def read_last_exception(interp: Interpreter) -> ExceptionValue | None:
    """What ended the program: `sys.last_exc`, before 3.12 `sys.last_value` and so on. Raises ReadError."""
    found = {name: find_item(interp, interp.sys_dict, f"last_{name}") for name in ("exc", "type", "value", "traceback")}
    if found["exc"]:
        return read_exception(interp, found["exc"])
    if not found["type"]:
        return None
    return from_parts(interp, found["type"], found["value"] or 0, found["traceback"] or 0)


def is_none(interp: Interpreter, address: int) -> bool:
    """Whether the object is None."""
    return type_of(interp, address).is_static("NoneType")


def _or_none(interp: Interpreter, address: int) -> ExceptionValue | None:
    return read_exception(interp, address) if address else None


def _read_triple(interp: Interpreter, tstate: int, *fields: str) -> ExceptionValue | None:
    of_type, value, traceback = (interp.number(tstate, "PyThreadState", field) for field in fields)
    if not of_type or is_none(interp, of_type):
        return None
    return from_parts(interp, of_type, value, traceback)


def from_parts(interp: Interpreter, of_type: int, value: int, traceback: int) -> ExceptionValue:
    """An exception as C hands it on; `value` is it, or what it will be called with: 0, an argument, a tuple."""
    try:
        if value and _is_instance(interp, value, of_type):
            found = read_exception(interp, value)
        else:
            found = _from_arguments(interp, of_type, value)
        if traceback and not is_none(interp, traceback):
            found.traceback, error = read_traceback(interp, traceback)
            add_sources(interp, found.traceback)
            found.error = found.error or error
    except ReadError as error:
        return ExceptionValue(error=str(error))
    return found


def _is_instance(interp: Interpreter, value: int, of_type: int) -> bool:
    """Whether it is made already. An exception may also be an argument: the key of a KeyError."""
    if not interp.type_flags(value) & EXCEPTION:
        return False
    return any(base.address == of_type for base in bases(interp, type_of(interp, value)))


def _from_arguments(interp: Interpreter, of_type: int, value: int) -> ExceptionValue:
    """Not an instance yet: `value` is what it will be called with."""
    if not interp.type_flags(of_type) & TYPE:  # 2.7: a class of the old kind, with its instance
        return ExceptionValue(type=read_value(interp, of_type).repr, value=read_value(interp, value).repr)
    if not value or is_none(interp, value):
        arguments = []
    elif interp.type_flags(value) & TUPLE:
        arguments = read_tuple(interp, value, ARGUMENTS_LIMIT)
    else:
        arguments = [value]
    kind = read_kind(interp, of_type)
    text, error = text_of_arguments(interp, kind, arguments)
    values = [read_value(interp, item) for item in arguments]
    return ExceptionValue(type=type_name(interp, kind), value=text, args=values, error=error)


def read_exception(interp: Interpreter, address: int, depth: int = CHAIN_LIMIT) -> ExceptionValue:
    """The exception at `address` with its traceback, and `depth` steps of `__cause__` and `__context__`."""
    found = ExceptionValue()
    try:
        found.type = type_name(interp, type_of(interp, address))
        _require_exception(interp, address)
        found.value, found.error = read_exception_text(interp, address)
        found.args = _read_arguments(interp, address)
        if interp.has("PyBaseExceptionObject", "traceback"):
            _add_history(interp, address, found, depth)
    except ReadError as error:
        found.error = str(error)
    return found


def _require_exception(interp: Interpreter, address: int) -> None:
    if not interp.type_flags(address) & EXCEPTION:
        raise ReadError(f"the object at {address:#x} is no exception")


def _read_arguments(interp: Interpreter, address: int) -> list[Value]:
    arguments = interp.number(address, "PyBaseExceptionObject", "args")
    return [read_value(interp, item) for item in read_tuple(interp, arguments, ARGUMENTS_LIMIT)] if arguments else []


def _add_history(interp: Interpreter, address: int, found: ExceptionValue, depth: int) -> None:
    traceback = interp.number(address, "PyBaseExceptionObject", "traceback")
    if traceback and not is_none(interp, traceback):
        found.traceback, error = read_traceback(interp, traceback)
        found.error = found.error or error
        add_sources(interp, found.traceback)
    cause, context = (interp.number(address, "PyBaseExceptionObject", name) for name in ("cause", "context"))
    if depth > 0:
        found.cause = read_exception(interp, cause, depth - 1) if cause else None
        is_shown = context and not interp.number(address, "PyBaseExceptionObject", "suppress_context")
        found.context = read_exception(interp, context, depth - 1) if is_shown else None
