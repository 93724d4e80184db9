"""The note LASTWORDS of a snapshot: what an ELF core cannot say of a moment.

Its description, all ints little-endian: the version and 0 in 4 bytes each; where in the file the bundle begins, or 0,
in 8; then JSON, compressed by zlib. The JSON is Python's own, because names of files and threads may hold bytes that
are no UTF-8.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import msgspec
from msgspec.structs import replace

from lastwords.capture.captured import Captured, KernelThread
from lastwords.capture.procfs import Mapping
from lastwords.capture.snapshot.facts import Answers

OWNER = b"LASTWORDS"
KIND = 1
VERSION = 1
HEADER = struct.Struct("<IIQ")
SIZE_LIMIT = 256 << 20  # bytes of JSON


class NewerNoteError(ValueError):
    """The note is of a version that we do not know."""

    def __init__(self, version: int) -> None:
        super().__init__(f"version {version}, this lastwords reads version {VERSION}")
        self.version = version


class ThreadNote(msgspec.Struct, frozen=True):
    """A thread without what NT_PRSTATUS has of it; `is_whole` says whether it has all registers."""

    kernel: KernelThread
    is_whole: bool


class SnapshotNote(msgspec.Struct):
    """What was known of the moment besides memory and registers.

    version: of lastwords; method, pause_ms, bytes, problems, monotonic_start: see Captured
    maps: all mappings, with and without files
    answers: what /proc said; sources: lines of the program's files, by file and number
    found: addresses that a search of the whole memory brought, by what was searched for
    build_ids: of the mapped files, by path
    report: what the snapshot's maker read in it, as JSON
    bundle: where in the snapshot the mapped files themselves begin; 0: they are not in it
    """

    version: str
    method: str
    pause_ms: float | None = None
    bytes: int | None = None
    problems: list[str] = []
    monotonic_start: float | None = None
    threads: list[ThreadNote] = []
    maps: list[Mapping] = []
    answers: Answers = msgspec.field(default_factory=Answers)
    sources: dict[str, dict[int, str]] = {}
    found: dict[str, list[int]] = {}
    build_ids: dict[str, str] = {}
    report: dict[str, Any] = {}
    bundle: int = 0


def note_of(captured: Captured, version: str) -> SnapshotNote:
    """What the capture itself says; the rest is for others to add."""
    return SnapshotNote(
        version=version,
        method=captured.method,
        pause_ms=captured.pause_ms,
        bytes=captured.size,
        problems=captured.problems,
        threads=[
            ThreadNote(replace(one, registers={}, fp_registers=b""), bool(one.registers)) for one in captured.threads
        ],
        maps=list(captured.maps),
    )


def encode(note: SnapshotNote) -> bytes:
    """The note's description; of the same size whatever `bundle` is."""
    bundle, note = note.bundle, replace(note, bundle=0)
    text = json.dumps(msgspec.to_builtins(note), separators=(",", ":"))
    return HEADER.pack(VERSION, 0, bundle) + zlib.compress(text.encode("ascii"), 6)


def decode(data: bytes) -> SnapshotNote:
    """The note with that description. Raises NewerNoteError; ValueError where it is damaged."""
    if len(data) < HEADER.size:
        raise ValueError("it is too short")
    version, _, bundle = HEADER.unpack_from(data)
    if version > VERSION:
        raise NewerNoteError(version)
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data[HEADER.size :], SIZE_LIMIT)
        if not unpacker.eof:
            raise ValueError("it is cut off")
        return replace(msgspec.convert(json.loads(text), SnapshotNote, str_keys=True), bundle=bundle)
    except (zlib.error, msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"it is damaged: {error}") from None


def complete(note: SnapshotNote, threads: list[KernelThread]) -> list[KernelThread]:
    """The threads as they were captured, out of the note and what the core's other notes have of them."""
    registers = {one.tid: one for one in threads}
    return [_complete(one, registers.get(one.kernel.tid)) for one in note.threads]


def _complete(noted: ThreadNote, found: KernelThread | None) -> KernelThread:
    if found is None or not noted.is_whole:
        return noted.kernel
    return replace(noted.kernel, registers=found.registers, fp_registers=found.fp_registers)
