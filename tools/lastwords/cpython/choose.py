"""Which layout fits a process: proposed by what the file says, trusted only after live objects agree.

The order: what `_Py_DebugOffsets` in the target says over the shipped table of its release (3.13 on); the shipped
table; the DWARF of the target's own file, where drgn is there to read it.
"""

from __future__ import annotations

import importlib.util
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from lastwords.capture.elf import ElfFile, Image
from lastwords.capture.memory import Memory, ReadError
from lastwords.cpython.dicts import count_items, find_item
from lastwords.cpython.layouts import Field, Layout, Struct, load_layout, shipped_releases
from lastwords.cpython.layouts.fields import DEBUG_OFFSETS
from lastwords.cpython.numbers import read_int
from lastwords.cpython.roots import find_head
from lastwords.cpython.structs import Structs
from lastwords.cpython.types import type_of
from lastwords.errors import TargetError

COOKIE = b"xdebugpy"
SUPPORTED = "CPython 2.7 and 3.6 to 3.15"
WORD = 8
KNOWN_LIMIT = 64

# Layouts that fitted a file once, by the file's id (kept alive beside it): the next process of it is checked less.
_known: dict[int, tuple[ElfFile, Layout]] = {}


def choose_layout(memory: Memory, image: Image, name: str) -> Structs:
    """The target seen through the layout of the CPython in `image`.

    Raises TargetError, by name, where none fits, and ReadError.
    """
    known = _find_known(memory, image)
    if known is not None:
        return known
    release = find_release(memory, image)
    if release is not None and load_layout(release) is None:
        raise TargetError(
            f"{name} is CPython {release} ({image.path}); this lastwords reads {SUPPORTED}.",
            "pip install --upgrade lastwords",
        )
    _refuse_free_threaded(memory, image, name)
    problems: list[str] = []
    possible: list[Structs] = []
    for candidate in _candidates(release, image):
        structs = Structs(memory, with_debug_offsets(memory, image, candidate))
        try:
            if is_confirmed(structs, image):
                _remember(image, structs.layout)
                return structs
            possible.append(structs)
        except ReadError as error:
            if release is not None and _has_no_head(structs, image):  # its static objects are not set up yet
                possible.append(structs)
            problems.append(f"{candidate.release}: {error}")
    if len(possible) == 1 or (possible and release):
        return possible[0]
    raise _explain_misfit(name, release, image, problems, bool(possible))


def _has_no_head(structs: Structs, image: Image) -> bool:
    try:
        return not find_head(structs, image)
    except ReadError:
        return False


def _explain_misfit(
    name: str, release: str | None, image: Image, problems: list[str], is_undecided: bool
) -> TargetError:
    what = f"CPython {release}" if release else "CPython"
    if is_undecided:
        fact = (
            f"{name} is {what} ({image.path}), just starting or nearly gone: it does not say yet which release it is."
        )
        return TargetError(fact, f"{image.path} --version")
    said = "; ".join(dict.fromkeys(problems))
    return TargetError(
        f"{name} is {what} ({image.path}), but its objects do not lie where they should ({said}).",
        f"readelf -n {image.path}    # a debug build or a patched one? its build-id, to report it",
    )


def _find_known(memory: Memory, image: Image) -> Structs | None:
    """The layout that fitted this very file before, if this process agrees too; its `sys` is not searched again."""
    known = _known.get(id(image.elf))
    if known is None:
        return None
    structs = Structs(memory, known[1])
    try:
        _check_types(structs, image)
        head = find_head(structs, image)
        if head:
            _check_threads(structs, head)
    except ReadError:
        return None
    return structs


def _remember(image: Image, layout: Layout) -> None:
    if len(_known) >= KNOWN_LIMIT:
        _known.clear()
    _known[id(image.elf)] = (image.elf, layout)


def _candidates(release: str | None, image: Image) -> Iterator[Layout]:
    """The release's own layout, or, where the file does not tell (static, stripped, before 3.11), all that may be.

    At last what the file's own DWARF says: a build with other options than those of the table.
    """
    releases = [release] if release else [name for name in shipped_releases() if _may_be(name, image)]
    layouts = [layout for name in releases if (layout := load_layout(name)) is not None]
    yield from layouts
    if image.file is not None and image.elf.has_dwarf and importlib.util.find_spec("drgn"):
        yield from _layouts_of_dwarf(layouts, image.file)


def _layouts_of_dwarf(layouts: list[Layout], file: Path) -> Iterator[Layout]:
    from lastwords.cpython.layouts import dwarf  # noqa: PLC0415 - drgn may not be there

    try:
        structs = dwarf.read_structs(dwarf.open_dwarf(file))
    except (LookupError, OSError, ValueError):
        return
    provenance = {"origin": "DWARF of the target's own file"}
    for layout in layouts:
        # what extension modules define (_queue) is in files of their own
        both = {**layout.structs, **structs}
        yield Layout(layout.release, provenance, layout.formats, both, layout.debug_offsets)


def _may_be(release: str, image: Image) -> bool:
    layout = load_layout(release)
    return layout is not None and layout.has("_PyRuntimeState") == ("_PyRuntime" in image.elf.symbols)


def find_release(memory: Memory, image: Image) -> str | None:
    """The release ("3.11") by `Py_Version` (exported from 3.11 on), else by the library's SONAME, else None."""
    address = image.address("Py_Version")
    if address is not None:
        number = int.from_bytes(memory.read(address, 4), "little")
        return f"{number >> 24 & 255}.{number >> 16 & 255}"
    found = re.match(r"libpython(\d\.\d+)", image.elf.soname or "")
    return found.group(1) if found else None


def _debug_offsets(memory: Memory, image: Image) -> int | None:
    """The address of `_Py_DebugOffsets`: the first bytes of `_PyRuntime` where the cookie is there."""
    address = image.address("_PyRuntime")
    return address if address is not None and memory.read(address, len(COOKIE)) == COOKIE else None


def _refuse_free_threaded(memory: Memory, image: Image, name: str) -> None:
    address = _debug_offsets(memory, image)
    if address is not None and struct.unpack("<Q", memory.read(address + 2 * WORD, WORD))[0]:
        release = find_release(memory, image)
        raise TargetError(
            f"{name} is free-threaded CPython {release} ({image.path}), whose objects have another form;"
            f" lastwords reads {SUPPORTED} with a GIL.",
            f"python{release} PROGRAM    # the build with a GIL",
        )


def with_debug_offsets(memory: Memory, image: Image, layout: Layout) -> Layout:
    """The layout with the offsets that the target itself tells, in place of the shipped ones."""
    address = _debug_offsets(memory, image)
    if address is None or not layout.debug_offsets:
        return layout
    structs = dict(layout.structs)
    for name, at in layout.debug_offsets.items():
        if name not in DEBUG_OFFSETS:
            continue
        of_struct, of_field = DEBUG_OFFSETS[name]
        offset = int.from_bytes(memory.read(address + at, WORD), "little")
        known = structs[of_struct].fields
        size = known[of_field].size if of_field in known else WORD
        structs[of_struct] = Struct(structs[of_struct].size, {**known, of_field: Field(offset, size)})
    return Layout(layout.release, layout.provenance, layout.formats, structs, layout.debug_offsets)


def is_confirmed(structs: Structs, image: Image) -> bool:
    """Whether the live objects agree with the layout, down to `sys.hexversion`; False where there is no `sys` to ask.

    Raises ReadError for what contradicts the layout.
    """
    _check_types(structs, image)
    head = find_head(structs, image)
    if not head:
        return False
    _check_threads(structs, head)
    return _check_version(structs, head)


def _check_types(structs: Structs, image: Image) -> None:
    """`type(type) is type`, and None is a NoneType."""
    of_type, none = image.address("PyType_Type"), image.address("_Py_NoneStruct")
    if of_type is not None and type_of(structs, of_type).address != of_type:
        raise ReadError("type(type) is not type")
    if none is not None and not type_of(structs, none).is_static("NoneType"):
        raise ReadError("None is no NoneType")


def _check_threads(structs: Structs, head: int) -> None:
    thread = structs.number(head, "PyInterpreterState", "threads.head")
    if thread and structs.number(thread, "PyThreadState", "interp") != head:
        raise ReadError("the first thread does not belong to the interpreter")


def _check_version(structs: Structs, head: int) -> bool:
    """Whether `sys.hexversion` says the layout's release; False while there is none, or module teardown has come by."""
    sys_dict = structs.number(head, "PyInterpreterState", "sysdict")
    if not sys_dict or not count_items(structs, sys_dict):
        return False
    found = find_item(structs, sys_dict, "hexversion")
    if not found and not find_item(structs, sys_dict, "modules"):
        raise ReadError("sys has neither hexversion nor modules")
    if not found or type_of(structs, found).is_static("NoneType"):
        return False
    number = read_int(structs, found)
    if f"{number >> 24 & 255}.{number >> 16 & 255}" != structs.layout.release:
        raise ReadError(f"sys.hexversion is {number:#x}")
    return True
