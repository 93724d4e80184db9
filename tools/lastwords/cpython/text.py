"""Strings of the target: `str`, `bytes`, and `unicode` of 2.7 (Include/cpython/unicodeobject.h, stringobject.h)."""

from __future__ import annotations

from lastwords.capture.memory import ReadError
from lastwords.cpython.structs import BYTES, UNICODE, Structs

TEXT_LIMIT = 1 << 20  # characters of a string that is needed whole: names, file names
SHORT = 48  # characters
KINDS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


def read_text(structs: Structs, address: int, limit: int = TEXT_LIMIT) -> str:
    """A `str` (2.7: also `unicode`) that must be whole. Raises ReadError for a longer one and for anything else."""
    text, is_whole = read_text_prefix(structs, address, limit)
    if not is_whole:
        raise ReadError(f"the string at {address:#x} is longer than {limit} characters")
    return writable(text)


def read_name(structs: Structs, address: int, limit: int) -> str:
    """The same as `read_text`, in a single read for what nearly all names are: short, ASCII, compact."""
    layout = structs.layout
    if layout.formats.text == "unicode" and address:
        head = layout.size("PyASCIIObject")
        try:
            data = structs.memory.read(address, head + SHORT)
        except ReadError:  # it stands at the end of what is mapped
            return read_text(structs, address, limit)
        start, size, unpack = structs.group("PyASCIIObject", ("length", "state"))
        length, state = unpack(data[start : start + size])
        is_plain = state & structs.plain_text == structs.plain_text
        if is_plain and length <= SHORT and length <= limit and structs.type_flags(address) & UNICODE:
            return data[head : head + length].decode("ascii", "backslashreplace")
    return read_text(structs, address, limit)


def writable(text: str) -> str:
    """The text with what UTF-8 cannot hold (lone surrogates, a file name's stray bytes) as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_text_prefix(structs: Structs, address: int, limit: int) -> tuple[str, bool]:
    """At most `limit` characters of a string, and whether that is all of it."""
    if not address:
        raise ReadError("NULL where a string should be")
    flags = structs.type_flags(address)
    is_bytes = structs.layout.formats.text == "bytes"
    if flags & UNICODE and is_bytes:
        return _read_wide(structs, address, limit)
    if not flags & (BYTES if is_bytes else UNICODE):
        raise ReadError(f"the object at {address:#x} is no string")
    if is_bytes:
        data, is_whole = read_bytes_prefix(structs, address, limit)
        return data.decode("utf-8", "surrogateescape"), is_whole
    return _read_unicode(structs, address, limit)


def read_bytes_prefix(structs: Structs, address: int, limit: int) -> tuple[bytes, bool]:
    """At most `limit` bytes of a `bytes` (2.7: `str`), and whether that is all."""
    struct = "PyBytesObject" if structs.has("PyBytesObject") else "PyStringObject"
    length = read_length(structs, address)
    data = structs.memory.read(structs.at(address, struct, "ob_sval"), min(length, limit))
    return data, length <= limit


def read_length(structs: Structs, address: int) -> int:
    """`ob_size` of an object with a size. Raises ReadError for a negative one."""
    size = structs.signed(address, "PyVarObject", "ob_size")
    if size < 0:
        raise ReadError(f"the object at {address:#x} has the size {size}")
    return size


def _read_wide(structs: Structs, address: int, limit: int) -> tuple[str, bool]:
    """A 2.7 `unicode`: two or four bytes a character, as the interpreter was built (`sys.maxunicode`)."""
    width = structs.unicode_width
    length = structs.signed(address, "PyUnicodeObject", "length")
    if length < 0:
        raise ReadError(f"the string at {address:#x} has the length {length}")
    data = structs.memory.read(structs.number(address, "PyUnicodeObject", "str"), min(length, limit) * width)
    return _decode(address, data, KINDS[width]), length <= limit


def _read_unicode(structs: Structs, address: int, limit: int) -> tuple[str, bool]:
    length = structs.signed(address, "PyASCIIObject", "length")
    if length < 0:
        raise ReadError(f"the string at {address:#x} has the length {length}")
    layout = structs.layout
    state = structs.number(address, "PyASCIIObject", "state")
    kind = layout.field("PyASCIIObject", "state.kind").of(state)
    if kind not in KINDS:
        return _read_not_ready(structs, address, limit)
    if not layout.field("PyASCIIObject", "state.compact").of(state):
        start = structs.number(address, "PyUnicodeObject", "data.any")
    else:
        is_ascii = layout.field("PyASCIIObject", "state.ascii").of(state)
        start = address + layout.size("PyASCIIObject" if is_ascii else "PyCompactUnicodeObject")
    data = structs.memory.read(start, min(length, limit) * kind)
    return _decode(address, data, KINDS[kind]), length <= limit


def _decode(address: int, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding, "surrogatepass")
    except UnicodeDecodeError as error:
        raise ReadError(f"the string at {address:#x} holds what is no character: {error.reason}") from None


def _read_not_ready(structs: Structs, address: int, limit: int) -> tuple[str, bool]:
    """A string made by the old C API and not yet looked at: only its `wchar_t`s are there (until 3.11)."""
    if not structs.has("PyASCIIObject", "wstr"):
        raise ReadError(f"the string at {address:#x} has no kind")
    start = structs.number(address, "PyASCIIObject", "wstr")
    length = structs.signed(address, "PyCompactUnicodeObject", "wstr_length")
    if length < 0:
        raise ReadError(f"the string at {address:#x} has the length {length}")
    data = structs.memory.read(start, min(length, limit) * 4)
    return _decode(address, data, KINDS[4]), length <= limit
