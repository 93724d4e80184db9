"""What debuggers need of a process's memory to find its libraries, and to know them again.

The loader's list: AT_PHDR of the auxiliary vector -> PT_DYNAMIC -> DT_DEBUG -> `struct r_debug` -> `struct link_map`
(elf/link.h of glibc, include/link.h of musl). Of each mapped ELF file its headers and its build-id. The vdso, whole.

All of it is read here for the sake of reading: a memory that records then has it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from lastwords.capture.core.files import read_identity
from lastwords.capture.memory import Memory, ReadError
from lastwords.capture.procfs import Mapping

AT_PHDR, AT_PHNUM = 3, 5
PT_DYNAMIC, PT_PHDR = 2, 6
DT_DEBUG = 21
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr
PAIR = struct.Struct("<QQ")  # Elf64_auxv_t, Elf64_Dyn
R_DEBUG = struct.Struct("<i4xQQi4xQ")  # version, map, brk, state, ldbase
LINK_MAP = struct.Struct("<QQQQQ")  # addr, name, ld, next, prev
HEADERS_LIMIT = 256
DYNAMIC_LIMIT = 512  # entries
LIBRARIES_LIMIT = 10_000
NAME_LIMIT = 4096
NAME_PIECE = 64
VDSO_LIMIT = 1 << 20


def read_landmarks(memory: Memory, maps: Sequence[Mapping], auxv: bytes) -> dict[str, str]:
    """Reads all of it, as far as it is there. The build-ids of the mapped files by path."""
    for _ in read_libraries(memory, auxv):
        continue
    memory.read_many([(one.start, min(one.end - one.start, VDSO_LIMIT)) for one in maps if one.path == "[vdso]"])
    return _read_build_ids(memory, maps)


def _read_build_ids(memory: Memory, maps: Sequence[Mapping]) -> dict[str, str]:
    code = {one.path for one in maps if "x" in one.permissions}
    found: dict[str, str] = {}
    for one in maps:
        if one.path in code and one.inode and one.offset == 0 and one.path not in found:
            try:
                found[one.path] = read_identity(memory, one.start)[0] or ""
            except (ReadError, struct.error):
                continue
    return {path: build_id for path, build_id in found.items() if build_id}


def find_names(memory: Memory, maps: Sequence[Mapping], auxv: bytes) -> dict[str, str]:
    """What the loader calls the mapped files where that is not their path: it does not follow links."""
    found = {}
    for name, address in read_libraries(memory, auxv):
        path = next((one.path for one in maps if one.start <= address < one.end), "")
        if name.startswith("/") and path.startswith("/") and name != path:
            found[name] = path
    return found


def read_libraries(memory: Memory, auxv: bytes) -> Iterator[tuple[str, int]]:
    """The libraries in the loader's list, the program's first (""): name, and where the dynamic section is."""
    try:
        debug = _find_debug(memory, auxv)
        address = R_DEBUG.unpack(memory.read(debug, R_DEBUG.size))[1] if debug else 0
        seen: set[int] = set()
        while address and address not in seen and len(seen) < LIBRARIES_LIMIT:
            seen.add(address)
            _, name, dynamic, following, _ = LINK_MAP.unpack(memory.read(address, LINK_MAP.size))
            yield _read_name(memory, name), dynamic
            list(_read_dynamic(memory, dynamic))
            address = following
    except ReadError:
        return


def _find_debug(memory: Memory, auxv: bytes) -> int:
    """The address of `r_debug`; 0 in a program without a loader."""
    vector = dict(PAIR.iter_unpack(auxv[: len(auxv) // PAIR.size * PAIR.size]))
    table, count = vector.get(AT_PHDR, 0), min(vector.get(AT_PHNUM, 0), HEADERS_LIMIT)
    headers = PROGRAM_HEADER.iter_unpack(memory.read(table, count * PROGRAM_HEADER.size)) if table else []
    by_type = {kind: (address, size) for kind, _, _, address, _, _, size, _ in headers}
    if PT_DYNAMIC not in by_type:
        return 0
    address, size = by_type[PT_DYNAMIC]
    if PT_PHDR in by_type:
        address += table - by_type[PT_PHDR][0]
    # drgn wants also what the linker left free behind its end (..._read_dynamic in libdrgn/debug_info.c of 0.3.0)
    memory.read_many([(address, min(size, DYNAMIC_LIMIT * PAIR.size))])
    return next((value for tag, value in _read_dynamic(memory, address) if tag == DT_DEBUG), 0)


def _read_dynamic(memory: Memory, address: int) -> Iterator[tuple[int, int]]:
    """The entries of a dynamic section, its end too."""
    for number in range(DYNAMIC_LIMIT):
        tag, value = PAIR.unpack(memory.read(address + number * PAIR.size, PAIR.size))
        yield tag, value
        if tag == 0:
            return


def _read_name(memory: Memory, address: int) -> str:
    data = b""
    while address and len(data) < NAME_LIMIT and b"\0" not in data:
        at = address + len(data)
        data += memory.read(at, NAME_PIECE - at % NAME_PIECE)
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
