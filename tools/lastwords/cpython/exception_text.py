"""What `str()` of an exception would print, as far as that can be told without running code.

Who defines `tp_str` decides: the interpreter's own classes are printed here as Objects/exceptions.c does it; of a class
that has a `__str__` of its own nothing is known, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from posixpath import basename

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.numbers import read_int
from lastwords.cpython.structs import INT, LONG, UNICODE, Structs
from lastwords.cpython.text import read_bytes_prefix, read_text_prefix, writable
from lastwords.cpython.types import Kind, find_definer, is_subtype, type_of
from lastwords.cpython.values import Printer, printer_text

CHARACTERS = 4000
NESTING_LIMIT = 5
Told = tuple[str | None, str | None]


class NotToldError(Exception):
    """The text depends on code of the target."""


def read_exception_text(structs: Structs, address: int) -> Told:
    """(text, None), or (None, why it cannot be told). Raises ReadError."""
    kind = type_of(structs, address)
    try:
        return _RULES[_definer(structs, kind)](structs, address), None
    except NotToldError as error:
        return None, str(error)


def text_of_arguments(structs: Structs, kind: Kind, arguments: Sequence[int]) -> Told:
    """The same for an exception that is not made yet: `kind` called with `arguments`."""
    try:
        definer = _definer(structs, kind)
        return _text_of_arguments(structs, kind, definer, arguments), None
    except NotToldError as error:
        return None, str(error)


def _definer(structs: Structs, kind: Kind) -> str:
    """The name of the built-in class whose `__str__` it is."""
    definer = find_definer(structs, kind, "tp_str")
    if definer.is_heap:
        raise NotToldError(f"{kind.name} has a __str__ of its own, which is not run")
    name = definer.name.removeprefix("exceptions.")
    name = "OSError" if name == "EnvironmentError" else name
    if name not in _RULES:
        raise NotToldError(f"{name} prints itself in a way of its own")
    return name


def _text_of_arguments(structs: Structs, kind: Kind, definer: str, arguments: Sequence[int]) -> str:
    """What the built-in classes that keep nothing but `args` print; a class of the program may do more in __init__."""
    if definer == "KeyError" and len(arguments) == 1:
        return _repr(structs, arguments[0])
    if definer == "OSError" and len(arguments) in (2, 3):
        return _os_text([_repr_or_str(structs, item, at == 2) for at, item in enumerate(arguments)])
    if definer in ("BaseException", "KeyError", "OSError") or len(arguments) <= 1:
        return _arguments_text(structs, arguments, None)
    raise NotToldError(f"{kind.name} is not made yet; its text comes of its {len(arguments)} arguments")


def _base_text(structs: Structs, address: int) -> str:
    """BaseException_str: nothing, the argument, or the tuple of them."""
    arguments = structs.number(address, "PyBaseExceptionObject", "args")
    return _arguments_text(structs, read_tuple(structs, arguments), arguments)


def _arguments_text(structs: Structs, arguments: Sequence[int], whole: int | None) -> str:
    if not arguments:
        return ""
    if len(arguments) == 1:
        return _str(structs, arguments[0])
    if whole is not None:
        return _repr(structs, whole)
    return f"({', '.join(_repr(structs, item) for item in arguments)})"


def _repr(structs: Structs, address: int) -> str:
    return printer_text(Printer(structs, CHARACTERS), address)


def _repr_or_str(structs: Structs, address: int, as_repr: bool) -> str:
    return _repr(structs, address) if as_repr else _str(structs, address)


def _str(structs: Structs, address: int) -> str:
    """What `str()` prints of an argument: a string itself, of others their repr, if it is not their class's secret."""
    kind = type_of(structs, address)
    definer = find_definer(structs, kind, "tp_str")
    if definer.name in ("str", "unicode") and not definer.is_heap:
        shown, is_whole = read_text_prefix(structs, address, CHARACTERS)
        return writable(shown if is_whole else shown + "...")
    if is_subtype(structs, kind, "BaseException") or is_subtype(structs, kind, "exceptions.BaseException"):
        return _str_of_exception(structs, address)
    if definer.is_heap or find_definer(structs, kind, "tp_repr").is_heap:
        raise NotToldError(f"its argument is a {kind.name}, whose __str__ or __repr__ is not run")
    return _repr(structs, address)


def _str_of_exception(structs: Structs, address: int) -> str:
    """An exception as the argument of an exception. It may contain itself: then Python, too, can print neither."""
    if structs.nesting >= NESTING_LIMIT:
        raise NotToldError(f"its arguments are exceptions, {NESTING_LIMIT} deep")
    structs.nesting += 1
    try:
        text, problem = read_exception_text(structs, address)
    finally:
        structs.nesting -= 1
    if text is None:
        raise NotToldError(problem or "")
    return text


def _key_error_text(structs: Structs, address: int) -> str:
    arguments = read_tuple(structs, structs.number(address, "PyBaseExceptionObject", "args"))
    return _repr(structs, arguments[0]) if len(arguments) == 1 else _base_text(structs, address)


def _os_error_text(structs: Structs, address: int) -> str:
    """OSError_str: `[Errno 2] No such file or directory: 'x' -> 'y'`."""
    struct = "PyOSErrorObject" if structs.has("PyOSErrorObject") else "PyEnvironmentErrorObject"
    fields = [name for name in ("myerrno", "strerror", "filename", "filename2") if structs.has(struct, name)]
    found = [structs.number(address, struct, name) for name in fields]
    given = [bool(item) and not type_of(structs, item).is_static("NoneType") for item in found]
    if given[2]:
        parts = [_str(structs, item) if item else "None" for item in found[:2]]
        names = [_repr(structs, item) for item, is_given in zip(found[2:], given[2:], strict=True) if is_given]
        return _os_text([*parts, *names])
    if found[0] and found[1]:
        return _os_text([_str(structs, item) for item in found[:2]])
    return _base_text(structs, address)


def _os_text(parts: Sequence[str]) -> str:
    text = f"[Errno {parts[0]}] {parts[1]}"
    return text + (": " + " -> ".join(parts[2:]) if parts[2:] else "")


def _import_error_text(structs: Structs, address: int) -> str:
    if not structs.has("PyImportErrorObject"):  # 2.7's is like any other
        return _base_text(structs, address)
    message = structs.number(address, "PyImportErrorObject", "msg")
    if message and type_of(structs, message).is_static("str"):
        return _str(structs, message)
    return _base_text(structs, address)


def _syntax_error_text(structs: Structs, address: int) -> str:
    """SyntaxError_str: `invalid syntax (x.py, line 3)`."""
    message, file, line = (
        structs.number(address, "PySyntaxErrorObject", name) for name in ("msg", "filename", "lineno")
    )
    text = _str(structs, message) if message else "None"
    name = basename(_str(structs, file)) if file and _is_string(structs, file) else None
    number = read_int(structs, line) if line and structs.type_flags(line) & (INT | LONG) else None
    if name is None and number is None:
        return text
    if number is None:
        return f"{text} ({name})"
    return f"{text} ({name}, line {number})" if name is not None else f"{text} (line {number})"


def _is_string(structs: Structs, address: int) -> bool:
    return bool(structs.type_flags(address) & UNICODE) or type_of(structs, address).is_static("str")


def _decode_error_text(structs: Structs, address: int) -> str:
    """UnicodeDecodeError_str."""
    encoding, start, end, reason = _unicode_parts(structs, address)
    source = structs.number(address, "PyUnicodeErrorObject", "object")
    data, _ = read_bytes_prefix(structs, source, end)
    if start < len(data) and end == start + 1:
        where = f"byte 0x{data[start]:02x} in position {start}"
    else:
        where = f"bytes in position {start}-{end - 1}"
    return f"{_quoted(structs, encoding)} codec can't decode {where}: {reason}"


def _encode_error_text(structs: Structs, address: int) -> str:
    """UnicodeEncodeError_str."""
    encoding, start, end, reason = _unicode_parts(structs, address)
    source = structs.number(address, "PyUnicodeErrorObject", "object")
    text, _ = read_text_prefix(structs, source, end)
    if start < len(text) and end == start + 1:
        where = f"character {_escape(structs, text[start])} in position {start}"
    else:
        where = f"characters in position {start}-{end - 1}"
    return f"{_quoted(structs, encoding)} codec can't encode {where}: {reason}"


def _unicode_parts(structs: Structs, address: int) -> tuple[str, int, int, str]:
    struct = "PyUnicodeErrorObject"
    encoding, reason = (structs.number(address, struct, name) for name in ("encoding", "reason"))
    start, end = (structs.signed(address, struct, name) for name in ("start", "end"))
    if not encoding or not reason or not 0 <= start <= end:
        raise ReadError(f"the UnicodeError at {address:#x} has no text")
    return _str(structs, encoding), start, end, _str(structs, reason)


def _quoted(_structs: Structs, encoding: str) -> str:
    return f"'{encoding}'"


def _escape(structs: Structs, character: str) -> str:
    number = ord(character)
    shown = f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
    return f"u'{shown}'" if structs.layout.formats.text == "bytes" else f"'{shown}'"


_RULES: dict[str, Callable[[Structs, int], str]] = {
    "BaseException": _base_text,
    "KeyError": _key_error_text,
    "OSError": _os_error_text,
    "ImportError": _import_error_text,
    "SyntaxError": _syntax_error_text,
    "UnicodeDecodeError": _decode_error_text,
    "UnicodeEncodeError": _encode_error_text,
}
