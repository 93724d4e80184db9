"""The moment of a process that a gdb holds, or of the core that it has open, for gdb_scripts/commands.py."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from lastwords.capture import elf, procfs
from lastwords.capture.architectures import Architecture, Registers, this_machine
from lastwords.capture.captured import Captured
from lastwords.capture.kernel.facts import read_facts
from lastwords.capture.memory import CachedMemory, Memory, ProcessMemory, Range, ReadError, unreadable
from lastwords.capture.stop.holding import Stopped
from lastwords.capture.stop.kernel_threads import describe_held, read_names
from lastwords.cpython.interpreter import find_image, open_image
from lastwords.examine.core import read_core_report
from lastwords.examine.describe import describe_process, new_moment, new_report
from lastwords.examine.greenlet_search import search_process
from lastwords.examine.greenlet_stacks import add_greenlet_stacks
from lastwords.examine.process import explained
from lastwords.examine.read import Options, Source, read_moment
from lastwords.examine.stacks import add_native_stacks, open_stacks
from lastwords.model import Report

Ask = Callable[[Sequence[Range]], list[bytes | None]]
MOST = 1 << 20  # bytes that gdb is asked for at once


class Order(msgspec.Struct, frozen=True):
    """What gdb's command asks for. `threads`: each tid with its registers; `core`: the file, None for a process."""

    what: str
    pid: int
    words: list[str] = []
    selected: int | None = None
    threads: list[tuple[int, Registers]] = []
    core: str | None = None
    executable: str | None = None
    width: int = 0


class GdbsMemory:
    """A process's memory over the gdb that holds it: where the kernel lets gdb read, but not us."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        if not 0 <= size <= MOST:
            raise unreadable(address, size, "more than is read at once")
        [data] = self.ask([(address, size)])
        if data is None:
            raise unreadable(address, size, "gdb cannot read it either")
        return data

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        asked = self.ask([item for item in ranges if 0 <= item[1] <= MOST])
        answers = iter(asked)
        return [next(answers) if 0 <= size <= MOST else None for _, size in ranges]


def read_held(order: Order, options: Options, ask: Ask) -> Report:
    """The report; `ask` reads memory over gdb. Raises TargetError and SetupError."""
    if order.core is not None:
        return read_core_report(Path(order.core), Path(order.executable) if order.executable else None, options)
    with explained(order.pid, procfs.PROC):
        return _read_process(order, options, ask)


def _read_process(order: Order, options: Options, ask: Ask) -> Report:
    pid, maps = order.pid, procfs.read_maps(order.pid)
    memory, way = _open_memory(pid, maps, ask)
    interp = open_image(pid, CachedMemory(memory), find_image(pid, maps, memory=memory))
    machine = this_machine()
    stopped = [Stopped(tid, 0, _pack(machine, registers)) for tid, registers in order.threads]
    captured = Captured(
        pid=pid,
        memory=interp.cache,
        maps=maps,
        threads=describe_held(stopped, [], read_names(pid, (tid for tid, _ in order.threads)), memory),
        architecture=machine,
        method=f"held by gdb, {way}",
        is_live=True,
    )
    facts = read_facts(pid)
    report = new_report("attach")
    report.processes.append(describe_process(pid, facts))
    report.moments.append(new_moment("moment-1", report.processes[0].id, "attach", captured))
    greenlets = search_process(interp, memory, maps, partial(elf.find_image_at, pid, maps))
    source = Source(interp, captured, facts, greenlets)
    threads = read_moment(report, report.moments[0], source, options)
    if options.native:
        unwinder = open_stacks(source)
        add_native_stacks(report, report.moments[0], source, threads, unwinder)
        add_greenlet_stacks(source, unwinder)
    return report


def _open_memory(pid: int, maps: Sequence[procfs.Mapping], ask: Ask) -> tuple[Memory, str]:
    """Ours where the kernel allows it, else gdb's."""
    first = next((one.start for one in maps if one.permissions.startswith("r")), 0)
    try:
        memory = ProcessMemory(pid)
        memory.read(first, 1)
    except ReadError:
        return GdbsMemory(ask), "its memory over gdb"
    return memory, "process_vm_readv"


def _pack(machine: Architecture, registers: Registers) -> bytes:
    """As the kernel gives them; none where gdb did not know them all."""
    if set(machine.registers) - set(registers):
        return b""
    return struct.pack(f"<{len(machine.registers)}Q", *(registers[name] for name in machine.registers))
