"""Tiny ELF files, made of bytes: programs with a build-id, and cores of processes that had mapped them."""

from __future__ import annotations

import struct

from lastwords.capture.core.headers import HEADER, PROGRAM_HEADER, PT_LOAD, PT_NOTE
from lastwords.capture.core.notes import NT_AUXV, NT_FILE, NT_PRPSINFO, NT_PRSTATUS
from make_core import EM_X86_64, IDENTITY, pack_core, pack_note

PAGE = 4096
START = 0x400000
PT_DYNAMIC = 2
BUILD_ID = 3
PROGRAM = "/opt/app/bin/python3.11"


def make_program(build_id: bytes, machine: int = EM_X86_64, *, is_dynamic: bool = True) -> bytes:
    """A program of two pages that loads itself; what its symbols are is on the second page."""
    note = pack_note(b"GNU\0", BUILD_ID, build_id)
    at = HEADER.size + 3 * PROGRAM_HEADER.size
    headers = [(PT_LOAD, 0, 2 * PAGE), (PT_NOTE, at, len(note)), (PT_DYNAMIC if is_dynamic else 0, PAGE, PAGE)]
    begin = HEADER.pack(IDENTITY, 2, machine, 1, START, HEADER.size, 0, 0, HEADER.size, PROGRAM_HEADER.size, 3, 0, 0, 0)
    table = b"".join(PROGRAM_HEADER.pack(kind, 4, at, START + at, 0, size, size, 1) for kind, at, size in headers)
    return (begin + table + note).ljust(2 * PAGE, b"\0")


def make_sample_core(program: bytes) -> bytes:
    """A core that has the first page of the program alone, as the kernel writes it."""
    name = PROGRAM.encode()
    files = struct.pack("<QQQQQ", 1, PAGE, START, START + 2 * PAGE, 0) + name + b"\0"
    status = struct.pack("<12xh18xi76x", 11, 4711) + struct.pack("<27Q8x", *range(27))
    info = struct.pack("<cc14xI4xiiii16s80s", b"\0", b"R", 0, 4711, 1, 0, 0, b"python3.11", name)
    auxv = struct.pack("<QQQQ", 3, START + HEADER.size, 0, 0)
    kinds = ((NT_PRSTATUS, status), (NT_PRPSINFO, info), (NT_AUXV, auxv), (NT_FILE, files))
    notes = b"".join(pack_note(b"CORE\0", kind, data) for kind, data in kinds)
    return pack_core(notes, [(START, program[:PAGE], 4)])
