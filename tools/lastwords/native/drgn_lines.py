"""Functions, inlined ones too, files and lines by DWARF, as drgn reads it. drgn is imported when a frame needs it.

One `drgn.Program` has every file of every process that we look at, each at a place of its own: what was found of a
file is good for whoever has mapped it, wherever. drgn is given open files, and looks for none by itself.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from lastwords.capture.elf import PT_LOAD
from lastwords.native.debug_files import DebugFile
from lastwords.native.images import NativeImage

if TYPE_CHECKING:
    import drgn

SPACING = 1 << 36  # bytes between the places of two files: none is larger
SECTIONS = (".debug_info", ".zdebug_info")


class Location(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function, and where in its source; None where that is not known."""

    function: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None


class Lines:
    """What DWARF says of one file, by the file's own addresses."""

    def __init__(self, program: drgn.Program, module: drgn.Module, bias: int) -> None:
        self._program = program
        self._module = module
        self._bias = bias

    def find(self, address: int) -> Sequence[Location]:
        """The functions that cover the code at `address`: inlined ones first, the one they are in last."""
        try:
            # it takes the address for one that is returned to, and looks at the instruction before
            return [_describe(one) for one in self._program.stack_trace_from_pcs([address + 1 + self._bias])]
        except Exception:  # drgn raises Exception itself for debug information that makes no sense
            return []


def _describe(frame: drgn.StackFrame) -> Location:
    try:
        file, line, column = frame.source()
    except LookupError:
        return Location(frame.function_name)
    return Location(frame.function_name, file or None, line or None, column or None)


@cache
def _open_program() -> drgn.Program | None:
    """None where drgn is not installed."""
    try:
        import drgn  # noqa: PLC0415 - it takes 0.1 s
    except ImportError:
        return None
    program = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
    program.set_enabled_debug_info_finders([])
    return program


def has_lines(image: NativeImage, debug: DebugFile | None) -> bool:
    """Whether there is DWARF of an image: its own, or in the separate file."""
    return debug is not None or (image.tables is not None and any(one in image.tables.sections for one in SECTIONS))


def open_lines(image: NativeImage, debug: DebugFile | None) -> Lines | None:
    """The DWARF of an image, or of the separate file that has it; None where there is none, or no drgn."""
    program = _open_program() if has_lines(image, debug) else None
    if program is None:
        return None
    try:
        return _add_module(program, image, debug)
    except Exception:  # as above
        return None


def _add_module(program: drgn.Program, image: NativeImage, debug: DebugFile | None) -> Lines | None:
    number = sum(1 for _ in program.modules()) + 1
    module = program.extra_module(image.path, number, create=True)
    loads = [one for one in image.programs if one.type == PT_LOAD]
    low, high = min(one.address for one in loads), max(one.address + one.memory_size for one in loads)
    module.address_range = (number * SPACING, number * SPACING + high - low)
    if image.file is not None:
        module.try_file(image.path, fd=_duplicate(image.file))
    if debug is not None:
        module.try_file(debug.path, fd=_duplicate(debug.file))
        _try_supplementary(module, debug)
    bias = module.debug_file_bias
    return Lines(program, module, bias) if bias is not None else None


def _duplicate(file: BinaryIO) -> int:
    """A descriptor of an open file for drgn, which closes it; of the vdso, too, which is in memory."""
    if not isinstance(file, io.BytesIO):
        return os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    descriptor = os.memfd_create("vdso")
    os.write(descriptor, file.getvalue())
    return descriptor


def _try_supplementary(module: drgn.Module, debug: DebugFile) -> None:
    """What dwz moved into a file that several share; drgn checks that it is the right one."""
    try:
        wanted = module.wanted_supplementary_debug_file()
    except ValueError:
        return
    module.try_file(debug.path.parent / wanted.supplementary_path)
