"""The notes of a core file: its threads with their registers, how the process died, which files it had mapped.

Structs: `elf_prstatus` and `elf_prpsinfo` of include/uapi/linux/elfcore.h (64-bit), `siginfo_t`, and NT_FILE as
fs/binfmt_elf.c (fill_files_note) writes it. The same in cores that gdb makes.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.captured import KernelThread, Syscall
from lastwords.capture.core.headers import TOP, FileBytes, ProgramHeader
from lastwords.capture.elf_tables import read_notes

NT_PRSTATUS, NT_FPREGSET, NT_PRPSINFO, NT_AUXV = 1, 2, 3, 6
NT_FILE, NT_SIGINFO = 0x46494C45, 0x53494749
NOTES_LIMIT = 64 << 20  # bytes; a thread takes 3 to 12 KB
THREADS_LIMIT = 100_000
STATUS_REGISTERS = 112  # pr_reg, in elf_prstatus
INFO_SIZE = 136  # elf_prpsinfo
FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP}
SI_KERNEL = 0x80


class FilePart(msgspec.Struct, frozen=True):
    """[start, end) is mapped from `offset` on of the file `path`."""

    start: int
    end: int
    offset: int
    path: str


class CoreNotes(msgspec.Struct):
    """What the notes say; what they do not say is None or empty.

    threads: the one that got the signal first
    signal: None where the process lived on (gcore), or where none is noted; fault_address: what a fault was about
    sender: the pid that sent the signal, if a process did
    snapshot: the description of our own note (capture/snapshot/note.py)
    """

    threads: list[KernelThread] = []
    signals: dict[int, int] = {}
    signal: int | None = None
    signal_code: int | None = None
    fault_address: int | None = None
    sender: int | None = None
    pid: int | None = None
    ppid: int | None = None
    uid: int | None = None
    state: str | None = None
    name: str | None = None
    arguments: str | None = None
    auxv: bytes = b""
    files: list[FilePart] = []
    snapshot: bytes = b""

    def auxiliary(self, key: int) -> int | None:
        """An entry of the auxiliary vector (AT_*)."""
        pairs = struct.iter_unpack("<QQ", self.auxv[: len(self.auxv) // 16 * 16])
        return next((int(value) for one, value in pairs if one == key), None)


def read_core_notes(file: FileBytes, headers: tuple[ProgramHeader, ...], architecture: Architecture) -> CoreNotes:
    """All notes; one that is too short for what it should be is left out."""
    notes = CoreNotes()
    for header in headers:
        for owner, kind, data in read_notes(file.read(header.offset, min(header.file_size, NOTES_LIMIT))):
            if owner.startswith(b"CORE"):
                _add_note(notes, kind, data, architecture)
            elif owner.startswith(b"LASTWORDS"):
                notes.snapshot = data
    _put_first(notes)
    return notes


def _add_note(notes: CoreNotes, kind: int, data: bytes, architecture: Architecture) -> None:
    if kind == NT_PRSTATUS and len(notes.threads) < THREADS_LIMIT:
        _add_thread(notes, data, architecture)
    elif kind == NT_FPREGSET and notes.threads:  # of the thread before it
        notes.threads[-1] = replace(notes.threads[-1], fp_registers=data)
    elif kind == NT_PRPSINFO and len(data) >= INFO_SIZE:
        _add_process(notes, data)
    elif kind == NT_SIGINFO and len(data) >= 24:
        _add_signal(notes, data)
    elif kind == NT_AUXV:
        notes.auxv = data
    elif kind == NT_FILE:
        notes.files = list(_parse_files(data))


def _add_thread(notes: CoreNotes, data: bytes, architecture: Architecture) -> None:
    names = architecture.registers
    if len(data) < STATUS_REGISTERS + 8 * len(names):
        return
    signal_number, tid = struct.unpack_from("<12xh18xi", data)
    values = struct.unpack_from(f"<{len(names)}Q", data, STATUS_REGISTERS)
    registers: Registers = dict(zip(names, values, strict=True))
    notes.signals[tid] = signal_number
    notes.threads.append(
        KernelThread(
            tid=tid,
            syscall=_find_syscall(architecture, registers),
            registers=registers,
            sp=registers[architecture.stack_pointer],
            pc=registers[architecture.program_counter],
            ident=architecture.ident(registers),
        )
    )


def _find_syscall(architecture: Architecture, registers: Registers) -> Syscall | None:
    """The call in which the thread waited when the signal came."""
    number = architecture.pending_call(registers)
    if number is None:
        return None
    arguments = tuple(registers[one] for one in architecture.syscall_arguments)
    return Syscall(number, architecture.name_of_call(number), arguments)


def _add_process(notes: CoreNotes, data: bytes) -> None:
    state, notes.uid, notes.pid, notes.ppid = struct.unpack_from("<xc14xI4xii", data)
    notes.state = state.decode("latin-1")
    notes.name = os.fsdecode(data[40:56].partition(b"\0")[0])
    notes.arguments = os.fsdecode(data[56:136].partition(b"\0")[0]).rstrip()


def _add_signal(notes: CoreNotes, data: bytes) -> None:
    """The first is that of the thread that died; gdb notes one for each thread."""
    number, code, address, sender = (*struct.unpack_from("<i4xi4xQ", data), *struct.unpack_from("<i", data, 16))
    if notes.signal_code is not None or not is_deadly(number):
        return
    notes.signal_code = code
    if number in FAULTS and 0 < code != SI_KERNEL:
        notes.fault_address = address
    elif code <= 0:
        notes.sender = sender or None


def _put_first(notes: CoreNotes) -> None:
    """The kernel and gdb write the thread with the signal first; other tools may not."""
    notes.threads.sort(key=lambda one: not is_deadly(notes.signals[one.tid]))
    first = notes.threads[0].tid if notes.threads else 0
    number = notes.signals.get(first, 0)
    notes.signal = number if is_deadly(number) else None
    if notes.pid is None and notes.threads:
        notes.pid = min(one.tid for one in notes.threads)


def is_deadly(number: int) -> bool:
    """Whether a process ends by this signal: 0 and SIGSTOP are what gcore finds in one that lives on."""
    harmless = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
    stops = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
    return 0 < number <= 64 and number not in harmless | stops


def _parse_files(data: bytes) -> Iterator[FilePart]:
    """count, page size; (start, end, offset in pages) each; then as many names."""
    count, page = struct.unpack_from("<QQ", data) if len(data) >= 16 else (0, 0)
    table_end = 16 + count * 24
    if table_end > len(data):
        return
    names = data[table_end:].split(b"\0")
    for (start, end, offset), name in zip(struct.iter_unpack("<QQQ", data[16:table_end]), names, strict=False):
        if start < end < TOP:
            yield FilePart(start, end, offset * page, os.fsdecode(name))
