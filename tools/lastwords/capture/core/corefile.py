"""A core file: the memory and the threads of a process as they were when it died, or when gdb's gcore was asked.

Opened by its headers and notes alone: pages are read when they are asked for. Cores of the kernel and of gdb, plain or
compressed. What a core leaves out is in capture/core/memory.py and capture/core/files.py.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lastwords.capture.architectures import RESTART_CALL, Architecture
from lastwords.capture.captured import KernelThread, Syscall
from lastwords.capture.core import compressed
from lastwords.capture.core.arguments import read_arguments
from lastwords.capture.core.files import ElfOnDisk, MappedFile, MappedFiles, describe_difference
from lastwords.capture.core.headers import (
    CoreHeaders,
    FileBytes,
    ProgramHeader,
    explain_unopened,
    open_regular,
    read_headers,
)
from lastwords.capture.core.memory import CoreMemory, SegmentMemory
from lastwords.capture.core.notes import CoreNotes, FilePart, read_core_notes
from lastwords.capture.elf import Image
from lastwords.capture.memory import Memory, ReadError
from lastwords.capture.procfs import Mapping
from lastwords.capture.snapshot.bundle import Bundle
from lastwords.capture.snapshot.note import NewerNoteError, SnapshotNote, complete, decode
from lastwords.capture.stop.kernel_threads import CODE_SIZE, name_by_arguments
from lastwords.errors import SetupError, TargetError

AT_PHDR = 3
STACK_LOOK = 256  # bytes at the stack pointer: a return address is among them
UNKNOWN = "????"  # permissions of a mapping of which the core has nothing


class Core(msgspec.Struct):
    """One core file. What it does not say is None or empty.

    memory: see core_memory.CoreMemory; threads: with registers, the one that got the signal first
    signal: the number of the one that ended the process, None where it lived on; signal_code: si_code
    fault_address: what a fault was about; sender: the pid that sent the signal; crashed_tid: the thread that got it
    executable: the path that the process had it by; argv: from its stack, or what the kernel kept of it (80 bytes)
    snapshot: what a snapshot of ours says beside
    problems: what was not there; grows while memory is read
    """

    path: Path
    architecture: Architecture
    memory: Memory
    threads: list[KernelThread]
    maps: list[Mapping]
    files: MappedFiles
    pid: int | None = None
    ppid: int | None = None
    uid: int | None = None
    name: str | None = None
    argv: list[str] = []
    executable: str | None = None
    signal: int | None = None
    signal_code: int | None = None
    fault_address: int | None = None
    sender: int | None = None
    crashed_tid: int | None = None
    snapshot: SnapshotNote | None = None

    @property
    def problems(self) -> list[str]:
        """What was not there, so far."""
        return self.files.problems

    def find_image(self, symbols: Sequence[str]) -> Image | None:
        """The first mapped file that defines one of `symbols`; files named after Python are looked at first."""
        return next((image for image in self.files.images() if any(one in image.elf.symbols for one in symbols)), None)


def open_core(path: Path, executable: Path | None = None) -> Core:
    """The core file, plain or compressed; `executable`: a copy of a file that the process had mapped.

    Raises SetupError where a file cannot be read, TargetError for what is no core that we read.
    """
    file, damage = _open(path)
    headers = read_headers(file, str(path))
    notes = read_core_notes(file, headers.notes, headers.architecture)
    segments = SegmentMemory(file, headers.loads)
    files = MappedFiles(notes.files, segments)
    files.problems += [one for one in (damage, _describe_cut(path, file, headers, notes)) if one]
    files.problems += _leave_out_zeros(segments, notes)
    program = files.find_file(notes.auxiliary(AT_PHDR) or 0)
    if executable is not None:
        _use_executable(executable, program, files)
    memory = CoreMemory(segments, files)
    snapshot = _read_snapshot(path, file, notes, files)
    threads = [_complete(one, memory, notes, headers.architecture) for one in notes.threads]
    return Core(
        path=path,
        architecture=headers.architecture,
        memory=memory,
        threads=complete(snapshot, threads) if snapshot else threads,
        maps=snapshot.maps if snapshot else _merge_maps(headers.loads, notes.files),
        files=files,
        pid=notes.pid,
        ppid=notes.ppid,
        uid=notes.uid,
        name=notes.name,
        argv=read_arguments(segments, notes) or (notes.arguments or "").split(),
        executable=program.path if program else None,
        signal=notes.signal,
        signal_code=notes.signal_code,
        fault_address=notes.fault_address,
        sender=notes.sender,
        crashed_tid=notes.threads[0].tid if notes.signal and notes.threads else None,
        snapshot=snapshot,
    )


def _read_snapshot(path: Path, file: FileBytes, notes: CoreNotes, files: MappedFiles) -> SnapshotNote | None:
    """Our own note, and the files that came with it. Without it a snapshot is read as any core."""
    if not notes.snapshot:
        return None
    try:
        snapshot = decode(notes.snapshot)
    except NewerNoteError as error:
        files.problems.append(
            f"{path} is a snapshot of a newer lastwords ({error}): what only its note says is missing"
        )
        return None
    except ValueError as error:
        files.problems.append(f"what {path} says beside memory and registers cannot be read: {error}")
        return None
    if snapshot.bundle:
        bundle = Bundle(file, snapshot.bundle, files.problems)
        for one in files.by_path.values():
            one.packed = bundle.find
    return snapshot


def _open(path: Path) -> tuple[FileBytes, str | None]:
    """The core, unpacked, and what is wrong with the packing."""
    try:
        file = open_regular(path)
    except (OSError, ValueError) as error:
        raise explain_unopened(str(path), error) from error
    how = compressed.find_format(file.read(0, 8))
    return compressed.unpack(file, how, str(path)) if how else (file, None)


def _describe_cut(path: Path, file: FileBytes, headers: CoreHeaders, notes: CoreNotes) -> str | None:
    if headers.missing:
        size = file.size
        return f"{path} is cut off: {size} of its {size + headers.missing} bytes are there"
    return None if notes.files else f"{path} does not say which files were mapped (it has no NT_FILE note)"


def _complete(thread: KernelThread, memory: Memory, notes: CoreNotes, architecture: Architecture) -> KernelThread:
    """With the name, which a core has of the first thread alone, and the call that a restarted one carries on."""
    if thread.tid == notes.pid:
        thread = replace(thread, name=notes.name)
    call = thread.syscall
    if call is None or call.name != RESTART_CALL:
        return thread
    [code] = memory.read_many([((thread.pc or 0) - CODE_SIZE, CODE_SIZE)])
    number = architecture.restarted_call(code) if code else None
    name = architecture.syscalls.get(number or -1) or name_by_arguments(call.arguments)
    numbers = architecture.numbers_of_calls(frozenset({name})) if name else []
    return replace(thread, syscall=Syscall(numbers[0], name or "", call.arguments)) if numbers else thread


def _leave_out_zeros(segments: SegmentMemory, notes: CoreNotes) -> list[str]:
    """gdb 13 writes zeros for a stack that begins with a page which it cannot read (glibc 2.42's guard pages)."""
    empty = [one for one in notes.threads if segments.begin(one.sp or 0, STACK_LOOK) == bytes(STACK_LOOK)]
    for thread in empty:
        segments.leave_out(thread.sp or 0)
    return [f"the core has zeros in place of the stack of thread {one.tid}" for one in empty]


def _use_executable(path: Path, program: MappedFile | None, files: MappedFiles) -> None:
    """Puts the user's file in place of what the core names. Raises LastwordsError where it is another file."""
    given = _open_executable(path)
    identities = {one.path: one.identity() for one in files.by_path.values()}
    same = next((name for name, one in identities.items() if one and not describe_difference(one, given.identity)), "")
    chosen = files.by_path.get(same, program)
    named = shlex.quote(str(path))
    if chosen is None:
        fact = f"The core does not say what it had mapped, so {path} cannot be laid into it."
        raise TargetError(fact, f"file {named}")
    wanted = identities[chosen.path]
    if wanted is not None and (difference := describe_difference(wanted, given.identity)):
        fact = f"{path} is not what the core was made from ({chosen.path}): {difference}."
        raise TargetError(fact, f"readelf -n {named}    # find the one with the core's build-id")
    chosen.given = path


def _open_executable(path: Path) -> ElfOnDisk:
    named = shlex.quote(str(path))
    try:
        return ElfOnDisk(path)
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror or error}", f"ls -l {named}") from error
    except (ValueError, ReadError) as error:
        raise SetupError(f"{error}; it should be the program of the core.", f"file {named}") from error


def _merge_maps(loads: Sequence[ProgramHeader], parts: Sequence[FilePart]) -> list[Mapping]:
    """The mappings by rising address: segments, named after the file that begins there, and what has no segment."""
    named = {part.start: part for part in parts}
    nothing = FilePart(0, 0, 0, "")
    found = {
        load.address: _make_mapping(load.address, load.address + load.memory_size, load.permissions, part)
        for load in loads
        for part in (named.get(load.address, nothing),)
    }
    for part in parts:
        found.setdefault(part.start, _make_mapping(part.start, part.end, UNKNOWN, part))
    return [found[start] for start in sorted(found)]


def _make_mapping(start: int, end: int, permissions: str, part: FilePart) -> Mapping:
    return Mapping(start, end, permissions, part.offset, device=0, inode=0, path=part.path)
