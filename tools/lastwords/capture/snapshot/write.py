"""Writes a moment as an ELF core: what readers asked for of its memory, all C stacks, registers, and our own note.

Structs: `elf_prstatus` and `elf_prpsinfo` of include/uapi/linux/elfcore.h (64-bit), NT_FILE as fs/binfmt_elf.c
(fill_files_note) writes it. Written from begin to end, so that it may go into a pipe.

A PT_LOAD is as long as what was asked for, not a whole page: one that holds a name of 60 bytes may hold a password
beside it, and would be fifteen times as much.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import msgspec
from elftools.elf.enums import ENUM_E_MACHINE
from msgspec.structs import replace

from lastwords.capture.architectures import Architecture
from lastwords.capture.captured import Captured, KernelThread
from lastwords.capture.core.headers import ET_CORE, HEADER, PN_XNUM, PROGRAM_HEADER, PT_LOAD, PT_NOTE
from lastwords.capture.core.notes import (
    NT_AUXV,
    NT_FILE,
    NT_FPREGSET,
    NT_PRPSINFO,
    NT_PRSTATUS,
    STATUS_REGISTERS,
)
from lastwords.capture.memory import PAGE
from lastwords.capture.procfs import Mapping
from lastwords.capture.snapshot import note as notes
from lastwords.capture.snapshot.note import SnapshotNote
from lastwords.capture.stop.copied import PIECE, CopiedMemory

EV_CURRENT = 1
SECTION_SIZE = 64  # Elf64_Shdr
NOTE = struct.Struct("<III")  # Elf64_Nhdr
PERMISSIONS = {"r": 4, "w": 2, "x": 1}


class Piece(msgspec.Struct, frozen=True):
    """Bytes of the process that lie together, with the PF_* flags of their mapping."""

    address: int
    flags: int
    data: bytes


class Owner(msgspec.Struct, frozen=True):
    """Whose moment it is: what NT_PRPSINFO says."""

    pid: int
    ppid: int
    uid: int
    name: str
    argv: Sequence[str]


def write_snapshot(
    captured: Captured, owner: Owner, note: SnapshotNote, file: BinaryIO, *, bundled: bool = False
) -> int:
    """Writes it to `file`, which is never asked where it stands. Returns how many bytes. Raises OSError.

    bundled: the caller writes the mapped files behind it (bundle.py).
    """
    pieces = list(cut_pieces(captured))
    begin = b"".join(_write_notes(captured, owner))
    own = _write_note(notes.OWNER, notes.KIND, notes.encode(note))
    headers = _write_headers(captured.architecture, pieces, len(begin) + len(own))
    size = len(headers) + len(begin) + len(own) + sum(len(one.data) for one in pieces)
    if bundled:
        own = _write_note(notes.OWNER, notes.KIND, notes.encode(replace(note, bundle=size)))
    for part in (headers, begin, own, *(one.data for one in pieces)):
        file.write(part)
    return size


def cut_pieces(captured: Captured) -> Iterator[Piece]:
    """What was used of the copy, and the stacks, by rising address; no two of one mapping that touch."""
    memory = captured.memory
    if not isinstance(memory, CopiedMemory):
        raise TypeError("only what was copied can be kept")
    starts = [one.start for one in captured.maps]
    for begin, end in _join(_wanted(memory, captured.stacks)):
        at = begin
        while at < end:
            mapping = _find(captured.maps, starts, at)
            until = min(end, mapping.end) if mapping else end
            pages = (memory.pages[number] or b"" for number in range(at & -PAGE, until, PAGE))
            yield Piece(at, _flags(mapping), b"".join(pages)[at % PAGE :][: until - at])
            at = until


def _wanted(memory: CopiedMemory, stacks: Sequence[tuple[int, int]]) -> list[int]:
    """The addresses of the pieces of memory that are to be kept, and are there, rising."""
    used = memory.used.union(*(range(start, start + size, PIECE) for start, size in stacks))
    return sorted(one for one in used if memory.pages.get(one & -PAGE) is not None)


def _join(pieces: Iterable[int]) -> Iterator[tuple[int, int]]:
    start = end = 0
    for one in pieces:
        if one != end:
            if end:
                yield start, end
            start = one
        end = one + PIECE
    if end:
        yield start, end


def _find(maps: Sequence[Mapping], starts: Sequence[int], address: int) -> Mapping | None:
    index = bisect_right(starts, address) - 1
    return maps[index] if index >= 0 and address < maps[index].end else None


def _flags(mapping: Mapping | None) -> int:
    return sum(PERMISSIONS.get(letter, 0) for letter in mapping.permissions) if mapping else PERMISSIONS["r"]


def _write_headers(architecture: Architecture, pieces: Sequence[Piece], note_size: int) -> bytes:
    """The ELF header and the program headers; what they describe follows: the notes, then the pieces."""
    count = 1 + len(pieces)
    is_many = count >= PN_XNUM  # then the only section header has the number
    at = HEADER.size + (SECTION_SIZE if is_many else 0)
    begin = at + count * PROGRAM_HEADER.size
    machine = ENUM_E_MACHINE[architecture.elf_machine]
    identity = b"\x7fELF" + bytes((2, 1, EV_CURRENT))  # 64 bits, little-endian
    header = HEADER.pack(
        identity, ET_CORE, machine, EV_CURRENT, 0, at, HEADER.size if is_many else 0, 0, HEADER.size,
        PROGRAM_HEADER.size, min(count, PN_XNUM), SECTION_SIZE, int(is_many), 0,
    )  # fmt: skip
    section = struct.pack("<44xI16x", count) if is_many else b""
    table = [PROGRAM_HEADER.pack(PT_NOTE, 0, begin, 0, 0, note_size, 0, 4)]
    offset = begin + note_size
    for one in pieces:
        size = len(one.data)
        table.append(PROGRAM_HEADER.pack(PT_LOAD, one.flags, offset, one.address, 0, size, size, 1))
        offset += size
    return header + section + b"".join(table)


def _write_notes(captured: Captured, owner: Owner) -> Iterator[bytes]:
    """A core's own: the process, its files, its threads, the main one first."""
    yield _write_note(b"CORE", NT_PRPSINFO, _describe_process(owner))
    yield _write_note(b"CORE", NT_AUXV, captured.auxv)
    yield _write_note(b"CORE", NT_FILE, _describe_files(captured.maps))
    extended = _lay_out_extended(captured.architecture, captured.threads)
    for thread in sorted(captured.threads, key=lambda one: one.tid != owner.pid):
        yield _write_note(b"CORE", NT_PRSTATUS, _describe_thread(captured.architecture, thread, owner))
        if thread.fp_registers:
            yield _write_note(b"CORE", NT_FPREGSET, thread.fp_registers[: captured.architecture.fp_size])
        if thread.tid in extended:
            yield _write_note(b"LINUX", captured.architecture.extended_set, extended[thread.tid])


def _lay_out_extended(architecture: Architecture, threads: Sequence[KernelThread]) -> dict[int, bytes]:
    whole = {one.tid: one.fp_registers for one in threads if len(one.fp_registers) > architecture.fp_size}
    return dict(zip(whole, architecture.lay_out_extended(list(whole.values())), strict=True))


def _write_note(owner: bytes, kind: int, data: bytes) -> bytes:
    name = owner + b"\0"
    return NOTE.pack(len(name), len(data), kind) + name + bytes(-len(name) % 4) + data + bytes(-len(data) % 4)


def _describe_process(owner: Owner) -> bytes:
    name, arguments = os.fsencode(owner.name), b" ".join(map(os.fsencode, owner.argv))
    return struct.pack(
        "<BcBbxxxxQIIiiii16s80s", 0, b"S", 0, 0, 0, owner.uid, 0, owner.pid, owner.ppid, 0, 0,
        name[:15], arguments[:79],
    )  # fmt: skip


def _describe_files(maps: Sequence[Mapping]) -> bytes:
    files = [one for one in maps if one.inode and one.path.startswith("/")]
    table = b"".join(struct.pack("<QQQ", one.start, one.end, one.offset // PAGE) for one in files)
    names = b"".join(os.fsencode(one.path) + b"\0" for one in files)
    return struct.pack("<QQ", len(files), PAGE) + table + names


def _describe_thread(architecture: Architecture, thread: KernelThread, owner: Owner) -> bytes:
    values = [_known_registers(architecture, thread).get(name, 0) for name in architecture.registers]
    begin = struct.pack("<32xiiii", thread.tid, owner.ppid, owner.pid, 0)
    return (
        begin.ljust(STATUS_REGISTERS, b"\0")
        + struct.pack(f"<{len(values)}Q", *values)
        + struct.pack("<ixxxx", bool(thread.fp_registers))
    )


def _known_registers(architecture: Architecture, thread: KernelThread) -> dict[str, int]:
    """All of a thread that was held; of another one what /proc tells: where it is, and its system call."""
    if thread.registers:
        return thread.registers
    known = {architecture.stack_pointer: thread.sp or 0, architecture.program_counter: thread.pc or 0}
    if thread.syscall is None:
        return {**known, architecture.syscall_number: (1 << 64) - 1}
    known |= dict(zip(architecture.syscall_arguments, thread.syscall.arguments, strict=False))
    return {**known, architecture.syscall_number: thread.syscall.number}
