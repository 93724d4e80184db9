"""How each built-in type prints itself, by the name of the type that defines the repr."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.callables import (
    bound_method_text,
    builtin_text,
    class_text,
    code_text,
    function_text,
    generator_text,
    module_text,
    old_class_name,
)
from lastwords.cpython.dicts import count_items, read_items
from lastwords.cpython.instances import with_contents
from lastwords.cpython.numbers import DIGITS_LIMIT, read_complex, read_digit_count, read_float, read_int
from lastwords.cpython.sets import read_set
from lastwords.cpython.structs import LONG
from lastwords.cpython.text import read_bytes_prefix, read_length, read_text_prefix
from lastwords.cpython.types import type_of, type_qualname
from lastwords.cpython.values import Handler, Printer, printer_text

DIGITS_SHOWN = 400  # of 30 bits: Python itself prints no more than 4,300 decimal digits


def _text(printer: Printer, address: int) -> str:
    text, is_whole = read_text_prefix(printer.structs, address, printer.characters)
    if printer.structs.layout.formats.text == "bytes":
        shown = repr(text.encode("utf-8", "surrogateescape"))[1:]
    else:
        shown = repr(text)
    return shown if is_whole else shown + printer.cut()


def _unicode_of_27(printer: Printer, address: int) -> str:
    text, is_whole = read_text_prefix(printer.structs, address, printer.characters)
    return "u" + ascii(text) + ("" if is_whole else printer.cut())


def _bytes(printer: Printer, address: int) -> str:
    data, is_whole = read_bytes_prefix(printer.structs, address, printer.characters)
    return repr(data) + ("" if is_whole else printer.cut())


def _bytearray(printer: Printer, address: int) -> str:
    structs = printer.structs
    length = read_length(structs, address)
    start = structs.number(address, "PyByteArrayObject", "ob_start")
    shown = min(length, printer.characters)
    data = structs.memory.read(start, shown) if shown else b""
    return f"bytearray({data!r}" + (")" if shown == length else printer.cut())


def _int(printer: Printer, address: int) -> str:
    structs = printer.structs
    if structs.type_flags(address) & LONG:
        count, _ = read_digit_count(structs, address)
        if count > DIGITS_LIMIT:
            return f"<int of {count} digits>" + printer.cut()
        if count > DIGITS_SHOWN:
            return hex(read_int(structs, address))
    return str(read_int(structs, address))


def _long(printer: Printer, address: int) -> str:
    return _int(printer, address) + ("L" if printer.structs.has("PyIntObject") else "")


def _bool(printer: Printer, address: int) -> str:
    return str(bool(read_int(printer.structs, address)))


def _float(printer: Printer, address: int) -> str:
    return repr(read_float(printer.structs, address))


def _complex(printer: Printer, address: int) -> str:
    return repr(read_complex(printer.structs, address))


def items_texts(printer: Printer, address: int, found: Sequence[int], total: int) -> list[str]:
    """The items' texts, and "..." where they are too many, too deep, or contain what contains them."""
    if len(printer.inside) >= printer.depth:
        return [printer.cut()]
    printer.inside.append(address)
    texts: list[str] = []
    length = 0
    for item in found:
        if len(texts) >= printer.items or length > printer.characters:
            break
        texts.append(printer_text(printer, item))
        length += len(texts[-1])
    printer.inside.pop()
    return texts if len(texts) == total else [*texts, printer.cut()]


def _tuple(printer: Printer, address: int) -> str:
    if address in printer.inside:
        return "(...)"
    structs = printer.structs
    length = read_length(structs, address)
    texts = items_texts(printer, address, read_tuple(structs, address, printer.items), length)
    return f"({texts[0]},)" if length == 1 else f"({', '.join(texts)})"


def _list(printer: Printer, address: int) -> str:
    if address in printer.inside:
        return "[...]"
    structs = printer.structs
    length = read_length(structs, address)
    start = structs.number(address, "PyListObject", "ob_item")
    found = structs.pointers(start, min(length, printer.items)) if length else []
    return f"[{', '.join(items_texts(printer, address, found, length))}]"


def _dict(printer: Printer, address: int) -> str:
    if address in printer.inside:
        return "{...}"
    items = read_items(printer.structs, address, printer.items)
    total = count_items(printer.structs, address)
    flat = [item for pair in items for item in pair]
    wide = replace(printer, items=2 * printer.items, truncated=False)
    texts = items_texts(wide, address, flat, len(flat))
    printer.truncated |= wide.truncated
    pairs = [f"{key}: {value}" for key, value in zip(texts[::2], texts[1::2], strict=False)]
    if len(texts) < len(flat) or len(items) < total or texts[-1:] == ["..."]:
        pairs.append(printer.cut())
    return f"{{{', '.join(pairs)}}}"


def _set(printer: Printer, address: int) -> str:
    structs = printer.structs
    name = type_qualname(structs, type_of(structs, address))
    if address in printer.inside:
        return f"{name}(...)"
    found = read_set(structs, address)
    is_old = structs.layout.formats.text == "bytes"
    if not found and not is_old:
        return f"{name}()"
    texts = ", ".join(items_texts(printer, address, found[: printer.items], len(found)))
    if is_old:
        return f"{name}([{texts}])"
    return f"{{{texts}}}" if type_of(structs, address).is_static("set") else f"{name}({{{texts}}})"


def _exception(printer: Printer, address: int) -> str:
    """BaseException_repr: with a comma behind a single argument until 3.6."""
    structs = printer.structs
    name = type_qualname(structs, type_of(structs, address)).rpartition(".")[2]
    texts = printer_text(printer, structs.number(address, "PyBaseExceptionObject", "args"))
    if structs.layout.formats.exception_comma:
        return name + texts
    return name + (texts[:-2] + ")" if texts.endswith(",)") else texts)


def _none(_printer: Printer, _address: int) -> str:
    return "None"


def _class(printer: Printer, address: int) -> str:
    return class_text(printer.structs, address)


def _function(printer: Printer, address: int) -> str:
    return function_text(printer.structs, address)


def _builtin(printer: Printer, address: int) -> str:
    return builtin_text(printer.structs, address)


def _generator(printer: Printer, address: int) -> str:
    return generator_text(printer.structs, address)


def _module(printer: Printer, address: int) -> str:
    return module_text(printer.structs, address)


def _code(printer: Printer, address: int) -> str:
    return code_text(printer.structs, address)


def _range(printer: Printer, address: int) -> str:
    structs = printer.structs
    start, stop, step = (
        read_int(structs, structs.number(address, "rangeobject", name)) for name in ("start", "stop", "step")
    )
    return f"range({start}, {stop})" if step == 1 else f"range({start}, {stop}, {step})"


def _method(printer: Printer, address: int) -> str:
    if len(printer.inside) >= printer.depth:
        return printer.cut()
    printer.inside.append(address)
    text = bound_method_text(printer.structs, address, lambda item: printer_text(printer, item))
    printer.inside.pop()
    return text


def _old_class(printer: Printer, address: int) -> str:
    """2.7: `class A:`."""
    structs = printer.structs
    return f"<class {old_class_name(structs, address)} at {address:#x}>"


def _old_instance(printer: Printer, address: int) -> str:
    """2.7: an instance of a `class A:`; its __repr__, if it has one, is not run."""
    structs = printer.structs
    name = old_class_name(structs, structs.number(address, "PyInstanceObject", "in_class"))
    return with_contents(printer, address, f"<{name} instance at {address:#x}>")


def _ellipsis(_printer: Printer, _address: int) -> str:
    return "Ellipsis"


def _not_implemented(_printer: Printer, _address: int) -> str:
    return "NotImplemented"


HANDLERS: dict[str, Handler] = {
    "str": _text,
    "unicode": _unicode_of_27,
    "bytes": _bytes,
    "bytearray": _bytearray,
    "int": _int,
    "long": _long,
    "bool": _bool,
    "float": _float,
    "complex": _complex,
    "tuple": _tuple,
    "list": _list,
    "dict": _dict,
    "set": _set,
    "frozenset": _set,
    "NoneType": _none,
    "ellipsis": _ellipsis,
    "NotImplementedType": _not_implemented,
    "range": _range,
    "type": _class,
    "function": _function,
    "builtin_function_or_method": _builtin,
    "module": _module,
    "code": _code,
    "generator": _generator,
    "coroutine": _generator,
    "async_generator": _generator,
    "method": _method,
    "instancemethod": _method,
    "classobj": _old_class,
    "instance": _old_instance,
    "BaseException": _exception,
    "exceptions.BaseException": _exception,
}
