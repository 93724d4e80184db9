"""Makes a small core file of a large one: its notes, and only the pages that lastwords reads.

    python tools/make_core.py CORE SMALL.xz [OLD=NEW]     # OLD in paths of mapped files becomes NEW, elsewhere "?"

The ELF parts that symbols are read from come along, so that the small one needs no file of the machine that it is
from: its paths may lead nowhere. This is how the cores of tests/cores are made (tests/cores/README.md); a reader that
reads more needs them made anew.
"""

from __future__ import annotations

import lzma
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from lastwords.capture.core.corefile import STACK_LOOK, Core, open_core
from lastwords.capture.core.files import is_named_after_python
from lastwords.capture.core.headers import ET_CORE, HEADER, PROGRAM_HEADER, PT_LOAD, PT_NOTE
from lastwords.capture.core.notes import NT_AUXV, NT_FILE, NT_PRPSINFO, NT_PRSTATUS, NT_SIGINFO
from lastwords.capture.elf import Image
from lastwords.capture.elf_memory import read_image
from lastwords.capture.elf_tables import read_notes
from lastwords.capture.memory import PAGE, CachedMemory, Memory, Range
from lastwords.examine.core import find_interpreter, make_report
from lastwords.examine.read import Options

EM_X86_64 = 62
NOTES = {NT_PRSTATUS, NT_PRPSINFO, NT_SIGINFO, NT_AUXV, NT_FILE}
LINE = 32
IDENTITY = b"\x7fELF\x02\x01\x01"


class Recorder(CachedMemory):
    """Notes which lines of `LINE` bytes are read, not what is fetched ahead."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.lines: set[int] = set()

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        data = super().read(address, size)
        self.lines.update(range(address & -LINE, address + size, LINE))
        return data

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        found = super().read_many(ranges)
        read = [item for item, data in zip(ranges, found, strict=True) if data is not None]
        self.lines.update(line for address, size in read for line in range(address & -LINE, address + size, LINE))
        return found


class Bare(Core):
    """A core whose files are missing: symbols come from its memory."""

    def find_image(self, symbols: Sequence[str]) -> Image | None:
        """See Core."""
        for path in sorted(self.files.by_path, key=lambda path: not is_named_after_python(path)):
            image = read_image(self.memory, [mapping for mapping in self.maps if mapping.path == path])
            if image is not None and any(name in image.elf.symbols for name in symbols):
                return image
        return None


def read_all(core: Core) -> dict[int, bytes]:
    """The pages that a report needs, by address; what of them was not read is 0."""
    recorder = Recorder(core.memory)
    bare = Bare(**{**vars(core), "memory": recorder})
    make_report(find_interpreter(bare, recorder), Options(locals=True))
    recorder.read_many([(thread.sp or 0, STACK_LOOK) for thread in core.threads])
    pages: dict[int, bytearray] = {}
    for line in recorder.lines:
        page = pages.setdefault(line & -PAGE, bytearray(PAGE))
        page[line % PAGE : line % PAGE + LINE] = core.memory.read(line, LINE)
    return {address: bytes(page) for address, page in pages.items()}


def copy_notes(path: Path, renamed: tuple[bytes, bytes]) -> bytes:
    """The notes of a plain core that are read, its files renamed."""
    core = path.read_bytes()
    offset, entry, count = HEADER.unpack_from(core)[5], PROGRAM_HEADER.size, HEADER.unpack_from(core)[10]
    headers = [PROGRAM_HEADER.unpack_from(core, offset + number * entry) for number in range(count)]
    data = b"".join(core[one[2] : one[2] + one[5]] for one in headers if one[0] == PT_NOTE)
    return b"".join(
        pack_note(owner, kind, described.replace(*renamed) if kind == NT_FILE else described)
        for owner, kind, described in read_notes(data)
        if kind in NOTES
    )


def pack_note(owner: bytes, kind: int, data: bytes) -> bytes:
    """An Elf64_Nhdr and what it is of."""
    return struct.pack("<III", len(owner), len(data), kind) + _padded(owner) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def find_runs(pages: dict[int, bytes], core: Core) -> Iterator[tuple[int, bytes, int]]:
    """Pages in a row of one mapping: (address, data, PF_* flags)."""
    flags = {one.start: one.permissions for one in core.maps}
    ordered = enumerate(sorted(pages))
    for _, group in groupby(ordered, key=lambda item: (item[1] - item[0] * PAGE, _mapping_of(core, item[1]))):
        run = [address for _, address in group]
        permissions = flags.get(_mapping_of(core, run[0]), "r--p")
        yield run[0], b"".join(pages[address] for address in run), 4 | 2 * ("w" in permissions) | ("x" in permissions)


def _mapping_of(core: Core, address: int) -> int:
    return next((one.start for one in core.maps if one.start <= address < one.end), 0)


def pack_core(notes: bytes, runs: Iterable[tuple[int, bytes, int]]) -> bytes:
    """An ELF core file of these."""
    segments = [(PT_NOTE, 0, notes, 0), *((PT_LOAD, address, data, flags) for address, data, flags in runs)]
    at = HEADER.size + PROGRAM_HEADER.size * len(segments)
    headers, body = b"", b""
    for kind, address, data, flags in segments:
        size = len(data)
        headers += PROGRAM_HEADER.pack(kind, flags, at + len(body), address, 0, size, size * (kind == PT_LOAD), 1)
        body += data
    begin = HEADER.pack(
        IDENTITY, ET_CORE, EM_X86_64, 1, 0, HEADER.size, 0, 0, HEADER.size, PROGRAM_HEADER.size, len(segments), 0, 0, 0
    )
    return begin + headers + body


def main(source: Path, small: Path, renamed: str = "=") -> None:
    """Write the small core, packed."""
    old, _, new = os.fsencode(renamed).partition(b"=")
    old = old or b"\xff" * 64  # stands nowhere
    core = open_core(source)
    pages = read_all(core)
    runs = [(at, data.replace(old, b"?" * len(old)), flags) for at, data, flags in find_runs(pages, core)]
    packed = lzma.compress(pack_core(copy_notes(source, (old, new)), runs), preset=9 | lzma.PRESET_EXTREME)
    small.write_bytes(packed)
    sys.stdout.write(f"{small}: {len(pages)} pages, {small.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
