"""What the interpreter prints above the traceback of a swallowed exception, in the words of its release.

2.7 `PyErr_WriteUnraisable` (Python/errors.c) writes one line that ends in "ignored". 3.x writes "Exception ignored
in: "; from 3.8 the caller may say more (`err_msg`), and from 3.13 it may pass a format with arguments
(`PyErr_FormatUnraisable`, gh-108082).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from lastwords.cpython import Interpreter, ReadError, read_value
from lastwords.model import ExceptionValue
from lastwords.watch.stops import Stop

_CONVERSION = re.compile(r"%[-0-9.]*(?:l|ll|z|t)?([RSAUVTNspdiuxc%])")


def find_object(interp: Interpreter, stop: Stop) -> int:
    """The address of the object that the message is about (what raised), 0 if none is named."""
    match stop.function:
        case "PyErr_WriteUnraisable":
            return stop.argument(0)
        case "_PyErr_WriteUnraisableMsg":
            return stop.argument(1)
        case "PyErr_FormatUnraisable" if _names_object(interp, stop):
            return stop.argument(1)
        case "write_unraisable_exc_file":
            return stop.argument(5)
    return 0


def _names_object(interp: Interpreter, stop: Stop) -> bool:
    """Whether the first argument after the format is an object."""
    try:
        first = _CONVERSION.search(interp.c_string(stop.argument(0)))
    except ReadError:
        return False
    return first is not None and first[1] in "RSA"


def read_words(interp: Interpreter, stop: Stop) -> str | None:
    """What the C caller says it was doing, without the values it puts in; None where it says nothing."""
    try:
        match stop.function:
            case "_PyErr_WriteUnraisableMsg" | "PyErr_FormatUnraisable":
                return interp.c_string(stop.argument(0)) if stop.argument(0) else None
            case "write_unraisable_exc_file":
                return _text(interp, stop.argument(4))
    except ReadError:
        pass
    return None


def read_message(interp: Interpreter, stop: Stop, exception: ExceptionValue | None) -> str | None:
    """The message's line(s) above the traceback, without the newline; None where nothing is known to be printed."""
    reader = _READERS.get(stop.function or "")
    try:
        return reader(interp, stop, exception) if reader else None
    except ReadError as error:
        return f"(the message could not be read: {error})"


def _read_unraisable(interp: Interpreter, stop: Stop, exception: ExceptionValue | None) -> str | None:
    """PyErr_WriteUnraisable(obj): the words changed with the language."""
    if interp.has("PyStringObject"):
        return _old_message(interp, stop, exception)
    return _about(interp, None, stop.argument(0))


def _read_unraisable_msg(interp: Interpreter, stop: Stop, _: ExceptionValue | None) -> str | None:
    """_PyErr_WriteUnraisableMsg(err_msg, obj)."""
    added = interp.c_string(stop.argument(0)) if stop.argument(0) else None
    return _about(interp, added, stop.argument(1))


def _read_format(interp: Interpreter, stop: Stop, _: ExceptionValue | None) -> str | None:
    """PyErr_FormatUnraisable(format, ...)."""
    return f"{_format(interp, stop)}:"


def _read_file(interp: Interpreter, stop: Stop, _: ExceptionValue | None) -> str | None:
    """write_unraisable_exc_file(tstate, type, value, traceback, err_msg, obj, file), from 3.8."""
    return f"{_text(interp, stop.argument(4))}: {_repr(interp, stop.argument(5))}"


def _read_fatal(interp: Interpreter, stop: Stop, _: ExceptionValue | None) -> str | None:
    """Py_FatalError(message)."""
    return f"Fatal Python error: {interp.c_string(stop.argument(0))}"


def _read_fatal_function(interp: Interpreter, stop: Stop, _: ExceptionValue | None) -> str | None:
    """_Py_FatalErrorFunc(function, message)."""
    function, text = (interp.c_string(stop.argument(index)) for index in (0, 1))
    return f"Fatal Python error: {function}: {text}"


def _read_fatal_format(interp: Interpreter, stop: Stop, _: ExceptionValue | None) -> str | None:
    """_Py_FatalErrorFormat(function, format, ...)."""
    return f"Fatal Python error: {interp.c_string(stop.argument(0))}: {_format(interp, stop, 1)}"


_READERS = {
    "PyErr_WriteUnraisable": _read_unraisable,
    "_PyErr_WriteUnraisableMsg": _read_unraisable_msg,
    "PyErr_FormatUnraisable": _read_format,
    "write_unraisable_exc_file": _read_file,
    "Py_FatalError": _read_fatal,
    "_Py_FatalErrorFunc": _read_fatal_function,
    "_Py_FatalErrorFormat": _read_fatal_format,
}


def _about(interp: Interpreter, added: str | None, subject: int) -> str | None:
    """3.x: `added` is what the caller adds to "Exception ignored"."""
    begin = f"Exception ignored {added}" if added else "Exception ignored in"
    if not subject or _repr(interp, subject) == "None":
        return f"{begin}:" if added else None
    return f"{begin}: {_repr(interp, subject)}"


def _old_message(interp: Interpreter, stop: Stop, exception: ExceptionValue | None) -> str:
    """2.7: type, repr of the value, repr of the object, on one line. The value may not be an exception yet."""
    kind = (exception.type if exception else None) or "<unknown>"
    tstate = interp.find_thread(stop.ident)
    value = interp.number(tstate, "PyThreadState", "curexc_value") if tstate else 0
    shown = _repr(interp, value) if value else "None"
    said = f": {shown}" if shown != "None" else ""
    return f"Exception {kind.removeprefix('exceptions.')}{said} in {_repr(interp, stop.argument(0))} ignored"


def _repr(interp: Interpreter, address: int) -> str:
    value = read_value(interp, address)
    return value.repr if value.repr is not None else f"<{value.missing or 'unreadable'}>"


def _format(interp: Interpreter, stop: Stop, first: int = 0) -> str:
    """`PyErr_FormatUnraisable(format, ...)`: conversions of `PyUnicode_FromFormat`, arguments in registers."""
    template = interp.c_string(stop.argument(first))
    arguments = iter(range(first + 1, 6))
    return _CONVERSION.sub(lambda found: _convert(interp, stop, found, arguments), template)


def _convert(interp: Interpreter, stop: Stop, found: re.Match[str], arguments: Iterator[int]) -> str:
    if found[1] == "%":
        return "%"
    index = next(arguments, None)
    if index is None:
        return found[0]  # on the stack, not in a register: the conversion is shown as it is
    word = stop.argument(index)
    if found[1] in "diu":
        return str(word if "l" in found[0] or "z" in found[0] else word & 0xFFFFFFFF)
    converters: dict[str, Callable[[Interpreter, int], str]] = {
        "s": Interpreter.c_string,
        "R": _repr,
        "A": _repr,
        "S": _text,
        "U": _text,
        "p": _hexadecimal,
        "x": _hexadecimal,
    }
    converter = converters.get(found[1])
    return converter(interp, word) if converter else found[0]


def _hexadecimal(_: Interpreter, word: int) -> str:
    return f"{word:#x}"


def _text(interp: Interpreter, address: int) -> str:
    shown = _repr(interp, address)
    return shown[1:-1] if shown[:1] in "'\"" and len(shown) > 1 else shown
