"""Objects of the target as text: what `repr()` would print, as far as that can be told without running code.

How an object is printed is told by who defines its `tp_repr`: the interpreter's own type, and then it is printed here
as that type does it; or a class, and then only `<module.Class object at 0x...>` is known of it (but of a
`threading.Thread`: thread_text.py).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.structs import Structs
from lastwords.cpython.types import find_definer, type_name, type_of
from lastwords.model import Value


class Printer(msgspec.Struct):
    """One repr in the making. Bounds: characters in all, items of a container, depth of containers.

    attributes: whether an instance whose repr would be code of its class shows what it has, see instances.py
    """

    structs: Structs
    characters: int = 2000
    items: int = 100
    depth: int = 20
    attributes: bool = False
    truncated: bool = False
    inside: list[int] = []

    def cut(self) -> str:
        """Marks that something was left out."""
        self.truncated = True
        return "..."


Handler = Callable[[Printer, int], str]


def read_value(structs: Structs, address: int, characters: int = 2000, *, attributes: bool = False) -> Value:
    """The object at `address`: its type and its repr of at most `characters`. Never raises for what memory holds.

    With `attributes` an instance of which no repr is known shows its own, one level deep.
    """
    if not address:
        return Value(missing="not available")
    value = Value(address=address)
    try:
        value.type = type_name(structs, type_of(structs, address))
        printer = Printer(structs, characters, attributes=attributes)
        text = printer_text(printer, address)
        value.repr = text if len(text) <= characters else text[:characters] + printer.cut()
        value.truncated = printer.truncated
    except ReadError as error:
        value.missing = error.missing
    return value


def printer_text(printer: Printer, address: int) -> str:
    """The repr of one object, of a container's item too. Raises ReadError."""
    from lastwords.cpython.instances import instance_text  # noqa: PLC0415 - it prints attributes' values
    from lastwords.cpython.printers import HANDLERS  # noqa: PLC0415 - they print the items of containers
    from lastwords.cpython.thread_text import find_thread_text  # noqa: PLC0415 - it reads through Interpreter

    kind = type_of(printer.structs, address)
    definer = find_definer(printer.structs, kind, "tp_repr")
    if definer.is_heap:
        text = find_thread_text(printer.structs, address, kind)
        return text or instance_text(printer, address)
    handler = HANDLERS.get(definer.name)
    return handler(printer, address) if handler is not None else instance_text(printer, address)


def object_text(structs: Structs, address: int) -> str:
    """What `object.__repr__` prints."""
    return f"<{type_name(structs, type_of(structs, address))} object at {address:#x}>"
