"""Instances whose repr would be code of their class: what they are, and, where that is asked for, what they have.

`<shop.Order object at 0x7f... id=7, items=[...]>`: the object's own attributes, one level deep, from slots and from its
dict; before them what it holds as a str, list, dict, deque ..., if its class is made from one. Only for people: the
text of messages shows such an object as `object.__repr__` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_attributes
from lastwords.cpython.deques import count_deque, is_deque, read_deque
from lastwords.cpython.dicts import named
from lastwords.cpython.members import read_members
from lastwords.cpython.structs import TYPE
from lastwords.cpython.types import Kind, bases, type_of
from lastwords.cpython.values import Printer, object_text, printer_text


def instance_text(printer: Printer, address: int) -> str:
    """`<module.Class object at 0x...>`, with the object's contents where `printer.attributes` asks for them."""
    return with_contents(printer, address, object_text(printer.structs, address))


def with_contents(printer: Printer, address: int, text: str) -> str:
    """`text`, which ends in ">", with the object's contents before its end."""
    if not printer.attributes or address in printer.inside or len(printer.inside) >= printer.depth:
        return text
    inner = replace(printer, attributes=False, truncated=False, inside=[*printer.inside])  # one level deep
    parts = _limit(inner, _contents(inner, address))
    printer.truncated |= inner.truncated
    return f"{text[:-1]} {', '.join(parts)}>" if parts else text


def _limit(printer: Printer, parts: Iterable[str]) -> list[str]:
    """As many as the printer's bounds allow."""
    found: list[str] = []
    length = 0
    for part in parts:
        if len(found) >= printer.items or length > printer.characters:
            return [*found, printer.cut()]
        found.append(part)
        length += len(part)
    return found


def _contents(printer: Printer, address: int) -> Iterator[str]:
    structs = printer.structs
    kind = type_of(structs, address)
    if not kind.is_static("instance"):  # 2.7: of a `class A:`
        yield from _base_text(printer, address, kind)
    printer.inside.append(address)
    if not kind.flags & TYPE:  # a class has too much
        yield from _attributes(printer, read_members(structs, address, kind))
        yield from _attributes(printer, named(structs, read_attributes(structs, address)))


def _attributes(printer: Printer, found: Iterable[tuple[str, int]]) -> Iterator[str]:
    for name, value in found:
        if not (name.startswith("__") and name.endswith("__")):
            yield f"{name}={_text(printer, value)}"


def _text(printer: Printer, address: int) -> str:
    try:
        return printer_text(printer, address)
    except ReadError as error:
        return f"<{error.missing}>"


def _base_text(printer: Printer, address: int, kind: Kind) -> Iterator[str]:
    """What the object is as an instance of the built-in type that its class is made from."""
    from lastwords.cpython.printers import HANDLERS, items_texts  # noqa: PLC0415 - they print instances, too

    structs = printer.structs
    built_in = (one.name for one in bases(structs, kind) if not one.is_heap)
    handler = next((HANDLERS[name] for name in built_in if name in HANDLERS), None)
    if handler is not None:
        yield handler(printer, address)
    elif is_deque(structs, kind):
        found = read_deque(structs, address, printer.items)
        yield f"[{', '.join(items_texts(printer, address, found, count_deque(structs, address)))}]"
