"""greenlet's extension module in a process: its release, its layout, its type, its file."""

from __future__ import annotations

from collections.abc import Callable

from lastwords.capture.elf import Image
from lastwords.capture.memory import ReadError
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.layouts import Field
from lastwords.cpython.modules import find_global
from lastwords.cpython.structs import POINTER, TYPE, Group, make_group
from lastwords.cpython.text import read_text
from lastwords.cpython.types import bases, read_kind
from lastwords.greenlets.layouts import Layout, find_layout
from lastwords.greenlets.walk import Walked, Walker

FindImage = Callable[[int], Image | None]  # the ELF file that is mapped at an address

MODULES = ("greenlet._greenlet", "greenlet")  # greenlet 1 and newer, 0.4
VERSION_LIMIT = 100

_read: dict[str, Layout] = {}  # what the DWARF of a module said, by its build-id


class Module:
    """greenlet as one moment's readers see it. `type` is the address of `greenlet.greenlet`."""

    def __init__(self, interp: Interpreter, version: str, layout: Layout, of_type: int, image: Image | None) -> None:
        self.interp = interp
        self.version = version
        self.layout = layout
        self.type = of_type
        self.image = image
        self.is_split = layout.has("PyGreenlet", "pimpl")  # from greenlet 2 on
        self.walker = Walker(interp)
        self.walked: dict[int, Walked] = {}  # the frames of suspended greenlets that were read, by its address
        self._types: dict[int, bool] = {}
        self._groups: dict[tuple[str, ...], Group] = {}
        self._known: set[int] = set()  # greenlets, of this moment

    def pointers(self, address: int, struct: str, *fields: str) -> tuple[int, ...]:
        """Several fields of the struct at `address`, in a single read."""
        key = (struct, *fields)
        if key not in self._groups:
            self._groups[key] = make_group([Field(self.layout.offset(struct, field), POINTER) for field in fields])
        start, size, unpack = self._groups[key]
        return unpack(self.interp.memory.read(address + start, size))

    def pointer(self, address: int, struct: str, field: str) -> int:
        """A field of the struct at `address`."""
        return self.interp.pointer(address + self.layout.offset(struct, field))

    def is_greenlet(self, address: int) -> bool:
        """Whether the object at `address` is a greenlet. Raises ReadError where there is no memory."""
        if address in self._known:
            return True
        if not address or address % POINTER:
            return False
        if self.is_type(self.interp.number(address, "PyObject", "ob_type")):
            self._known.add(address)
            return True
        return False

    def is_type(self, address: int) -> bool:
        """Whether `address` is the type `greenlet.greenlet`, or one that is made from it."""
        if address not in self._types:
            self._types[address] = self._is_type(address)
        return self._types[address]

    def _is_type(self, address: int) -> bool:
        if not address or address % POINTER:
            return False
        try:
            is_type = self.interp.type_flags(address) & TYPE
            return bool(is_type) and any(
                one.address == self.type for one in bases(self.interp, read_kind(self.interp, address))
            )
        except ReadError:
            return False


def find_module(interp: Interpreter, find_image: FindImage) -> Module | None:
    """greenlet in this process; None where it was not imported.

    Raises ReadError, by name, for a release whose layout is not known.
    """
    version = find_global(interp, "greenlet", "__version__")
    of_type = next((found for name in MODULES if (found := find_global(interp, name, "greenlet"))), None)
    if not version or not of_type or read_kind(interp, of_type).name != "greenlet.greenlet":
        return None
    name = read_text(interp, version, VERSION_LIMIT)
    image = find_image(of_type)
    layout = find_layout(interp.layout.release, name) or (_read_layout(image) if image else None)
    if layout is None:
        raise ReadError(f"greenlet {name} on CPython {interp.layout.release} is not known to this lastwords")
    return Module(interp, name, layout, of_type, image)


def _read_layout(image: Image) -> Layout | None:
    """By the module's own DWARF, where it has it."""
    key = image.elf.build_id or ""
    if key in _read:
        return _read[key]
    if image.file is None or not image.elf.has_dwarf:
        return None
    from lastwords.greenlets import dwarf  # noqa: PLC0415 (pyelftools takes 40 ms to import)

    try:
        with image.file.open("rb") as file:
            layout = Layout(dwarf.read_structs(file))
    except (LookupError, OSError):
        return None
    if key:
        _read[key] = layout
    return layout
