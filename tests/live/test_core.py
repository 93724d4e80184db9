"""One process, read live, over gdb, and from its cores: the same bytes, and the same threads, stacks and values."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dumps import allow_core, gdb_core, kernel_core, pack
from harness import TARGETS, Target, running, wait_until, wait_until_at_rest
from interpreters import Interpreter as Python
from lastwords import cpython
from lastwords.capture import procfs
from lastwords.capture.core.corefile import Core, open_core
from lastwords.capture.core.files import ElfOnDisk
from lastwords.capture.core.headers import HEADER, PROGRAM_HEADER, PT_LOAD, WRITABLE
from lastwords.capture.gdb import GdbSession, find_gdb
from lastwords.capture.memory import PAGE, CachedMemory, Memory, ProcessMemory, ProcMemMemory, Range, ReadError
from lastwords.capture.procfs import Mapping
from lastwords.cpython.interpreter import Interpreter, open_image
from lastwords.cpython.threads import read_threads
from lastwords.errors import SetupError, TargetError
from lastwords.examine.core import load_core, read_core_report
from lastwords.frames import python_frames
from lastwords.model import Stack
from lastwords.watch.gdb_memory import GdbMemory
from needs import need

pytestmark = pytest.mark.interpreters("!free_threaded")
ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}  # gcore writes the reserved arenas of threads, 64 MB each


@dataclass
class Described:
    """A target that blocks, what it said of itself, and the directory for its cores."""

    target: Target
    facts: dict[str, Any]
    folder: Path


@pytest.fixture
def described(interpreter: Python, tmp_path: Path) -> Iterator[Described]:
    command: list[str | Path] = [interpreter.path, TARGETS / "reader_describes.py", "3"]
    with running(command, env=ENVIRONMENT, cwd=tmp_path) as target:
        target.wait_for()
        wait_until_at_rest(target.pid)
        yield Described(target, json.loads(target.wait_for("facts ").removeprefix("facts ")), tmp_path)
    for core in tmp_path.iterdir():
        core.unlink()  # pytest would keep them


def test_every_way_reads_the_same(described: Described, interpreter: Python) -> None:
    pid, folder = described.target.pid, described.folder
    image = cpython.open_process(pid).image
    live = ProcessMemory(pid)
    maps = read_dumped_maps(pid)
    ranges = [item for item in choose_ranges(maps, random.Random(interpreter.name)) if live.read_many([item])[0]]
    truth = read_everything(open_image(None, CachedMemory(live), image), described.facts)
    check_truth(truth, described.facts)

    before = record(live, ranges)
    made_by_gdb = gdb_core(pid, folder / "gcore")
    after = record(live, ranges)
    # The kernel writes into a thread's rseq area (rseq(2)) when it runs on another processor than before.
    still = [item for item in ranges if before.ranges[item] == after.ranges[item]]
    assert len(still) > 0.9 * len(ranges) > 50
    check_gdb_core(made_by_gdb, after, still, truth, described.facts)

    ways: list[Memory] = [ProcMemMemory(pid), CachedMemory(live)]
    for memory in ways:
        wait_until(partial(agree, memory, live, ranges), f"{memory} reads what the process has", timeout=10)
        assert read_everything(open_image(None, CachedMemory(memory), image), described.facts) == truth

    wait_until_at_rest(pid)
    last = record(live, ranges)
    made_by_kernel = kernel_core(described.target, folder)
    check_core(made_by_kernel, last, ranges, truth, described.facts)
    how = ("gzip", "bzip2", "xz", "zstd", "lz4")[interpreter.version[1] % 5]
    packed = folder / "packed"
    packed.write_bytes(pack(how, made_by_kernel.read_bytes()))
    check_core(packed, last, ranges, truth, described.facts)


@pytest.mark.interpreters(minors=("2.7", "3.8", "3.14"))
def test_a_gdb_that_holds_it_reads_the_same(described: Described) -> None:
    pid = described.target.pid
    interp = cpython.open_process(pid)
    live = ProcessMemory(pid)
    chosen = choose_ranges(read_dumped_maps(pid), random.Random(1))
    ranges = [item for item, data in zip(chosen, live.read_many(chosen), strict=True) if data]
    with gdb_memory(pid) as memory:
        wait_until(partial(agree, memory, live, ranges), "gdb reads what the process has", timeout=10)
        truth = read_everything(open_image(None, CachedMemory(live), interp.image), described.facts)
        assert read_everything(open_image(None, CachedMemory(memory), interp.image), described.facts) == truth


@pytest.mark.interpreters(minors=("2.7", "3.9", "3.11", "3.13"))
def test_where_the_files_are_missing_the_core_must_have_their_pages(described: Described) -> None:
    """As on another machine: a core of the kernel lacks them, one with all pages is read from those."""
    image = cpython.open_process(described.target.pid).image
    program = Path(f"/proc/{described.target.pid}/exe").readlink()
    truth = read_everything(open_image(None, CachedMemory(ProcessMemory(described.target.pid)), image), described.facts)
    assert image.file is not None
    holder = Path(image.path)
    core = kernel_core(described.target, described.folder, what="0x7f")
    for path in {image.path, str(program)}:
        hide(core, path)
    loaded = load_core(core)
    assert loaded.interp.image.file is None
    # no .symtab, no DWARF
    found = read_everything(loaded.interp, described.facts)
    assert {name for name in truth if found[name] != truth[name]} <= {"python"}
    cut(core, holder, image.bias)
    with pytest.raises(SetupError, match=re.escape(f"{hidden(image.path)} is not to be had on this machine")):
        load_core(core)
    found = read_everything(load_core(core, holder).interp, described.facts)
    assert {name for name in truth if found[name] != truth[name]} <= {"python"}
    with pytest.raises(TargetError, match=r"is not what the core was made from .*: its (build-id is|program headers)"):
        load_core(core, Path("/usr/bin/gdb"))


def hide(core: Path, path: str) -> None:
    """Give a mapped file a name of the same length that leads nowhere."""
    core.write_bytes(core.read_bytes().replace(os.fsencode(path) + b"\0", os.fsencode(hidden(path)) + b"\0"))


def hidden(path: str) -> str:
    return path[:-3] + "xyz"


def cut(core: Path, file: Path, bias: int) -> None:
    """Leave out what the file has and is not written to, but for its first page, as the kernel does by default."""
    parts = [(one.address + bias) & -PAGE for one in ElfOnDisk(file).loads if not one.flags & WRITABLE]
    data = bytearray(core.read_bytes())
    for number in range(HEADER.unpack_from(data)[10]):
        at = HEADER.size + number * PROGRAM_HEADER.size
        header = list(PROGRAM_HEADER.unpack_from(data, at))
        if header[0] == PT_LOAD and header[3] in parts:
            header[5] = PAGE
            PROGRAM_HEADER.pack_into(data, at, *header)
    core.write_bytes(data)


@pytest.mark.interpreters("ctypes", minors=("2.7", "3.9", "3.11", "3.14"))
def test_the_thread_that_faulted_comes_first(interpreter: Python, tmp_path: Path) -> None:
    command: list[str | Path] = [interpreter.path, TARGETS / "core_faults.py"]
    with running(command, env=ENVIRONMENT, cwd=tmp_path) as target:
        target.wait_for()
        allow_core(target)
        target.send_line()
        assert target.wait() == -signal.SIGSEGV
    [path] = tmp_path.iterdir()
    core = open_core(path)
    assert (core.signal, core.fault_address, core.sender, core.pid) == (signal.SIGSEGV, 16, None, target.pid)
    assert core.crashed_tid == core.threads[0].tid != target.pid
    assert core.argv == [str(word) for word in command]
    report = read_core_report(path)
    assert report.threads[0].name == "faulty"
    assert [frame.function for frame in python_frames(report.threads[0].stack)[:5]] == [
        "string_at", "fault", "fault", "fault", "wait_and_fault"
    ]  # fmt: skip
    assert report.exceptions[0].message == "signal SIGSEGV: address 0x10"
    assert report.processes[0].exit is not None
    path.unlink()


def agree(memory: Memory, live: Memory, ranges: list[Range]) -> bool:
    """Whether both have the same now: a thread may still run a little (rseq) after gdb came or went."""
    if isinstance(memory, CachedMemory):
        memory.clear()
    pairs = zip(memory.read_many(ranges), live.read_many(ranges), strict=True)
    return all(one == other or (one and other and differ_by_breakpoints(one, other)) for one, other in pairs)


def differ_by_breakpoints(hidden: bytes, live: bytes) -> bool:
    """Whether only gdb's own breakpoints (int3) are not the same: gdb does not show them."""
    return len(hidden) == len(live) and all(real in (byte, 0xCC) for byte, real in zip(hidden, live, strict=True))


def check_core(path: Path, memory: Recorded, ranges: list[Range], truth: Reading, facts: dict[str, Any]) -> None:
    """The core's memory is that memory; what a reader finds in it is the truth."""
    check_bytes(open_core(path), memory, ranges)
    loaded = load_core(path)
    assert read_everything(loaded.interp, facts) == truth
    threads = read_threads(loaded.interp, loaded.captured.threads)
    assert [thread.tid for thread in threads if thread.kernel is None] == []
    assert loaded.core.problems == []


def check_bytes(core: Core, memory: Recorded, ranges: list[Range]) -> None:
    different = differences(memory, core.memory, ranges)
    lines = [describe(core, one, memory) for one in different if not is_left_out(core, one[0], memory.ranges[one])]
    assert not lines, "\n".join(lines)


def check_gdb_core(path: Path, memory: Recorded, ranges: list[Range], truth: Reading, facts: dict[str, Any]) -> None:
    """As the others; but gdb 13 writes zeros for glibc 2.42's stacks, which begin with a page that it cannot read."""
    core = open_core(path)
    if not core.problems:
        return check_core(path, memory, ranges, truth, facts)
    assert all("zeros in place of the stack" in problem for problem in core.problems)
    stacks = [one for one in core.maps if any(one.start <= (thread.sp or 0) < one.end for thread in core.threads)]
    others = [item for item in ranges if not any(one.start <= item[0] < one.end for one in stacks)]
    assert len(others) > 0.8 * len(ranges)
    check_bytes(core, memory, others)
    found = read_everything(load_core(path).interp, facts)
    for name in found:
        seen, true = found[name], truth[name]
        if isinstance(seen, Stack) and isinstance(true, Stack) and seen.error:
            assert seen.frames == true.frames[: len(seen.frames)]
        else:
            assert seen == true
    return None


def differences(first: Memory, second: Memory, ranges: list[Range]) -> list[Range]:
    """The ranges in which two memories are not the same."""
    pairs = zip(ranges, first.read_many(ranges), second.read_many(ranges), strict=True)
    return [item for item, one, other in pairs if one != other]


def describe(core: Core, item: Range, memory: Recorded) -> str:
    """For a test that fails: what the core says of a range."""
    wanted = memory.ranges[item] or b""
    try:
        data = core.memory.read(*item)
    except ReadError as error:
        return f"{core.path} {error}; there are {sum(map(bool, wanted))} bytes that are not 0"
    at = [index for index, (one, other) in enumerate(zip(data, wanted, strict=False)) if one != other]
    return f"{core.path} {item[0]:#x}: {len(at)} of {item[1]} bytes differ, from {at[:1]} on"


def is_left_out(core: Core, address: int, data: bytes | None) -> bool:
    """Whether nobody can have the page: a file that is no ELF file (a locale, a cache), or never touched (gcore)."""
    if any(mapping.start <= address < mapping.end for mapping in core.maps):
        file = core.files.find_file(address)
        return file is not None and file.image() is None
    return data is not None and not any(data)


def test_a_difference_would_be_seen() -> None:
    one, other = Recorded({(8, 2): b"ab", (16, 1): b"c"}), Recorded({(8, 2): b"ab", (16, 1): b"d"})
    assert differences(one, one, [(8, 2), (16, 1)]) == []
    assert differences(one, other, [(8, 2), (16, 1)]) == [(16, 1)]
    assert differences(one, other, [(8, 2), (24, 1)]) == []


@dataclass
class Recorded:
    """Ranges of a memory that is gone."""

    ranges: dict[Range, bytes | None]

    def read(self, address: int, size: int) -> bytes:
        found = self.ranges.get((address, size))
        if found is None:
            raise ReadError("not recorded")
        return found

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        return [self.ranges.get(item) for item in ranges]


def record(memory: Memory, ranges: list[Range]) -> Recorded:
    """What a memory has there now."""
    return Recorded(dict(zip(ranges, memory.read_many(ranges), strict=True)))


def read_dumped_maps(pid: int) -> list[Mapping]:
    """The readable mappings that a core has: not those that the process asked to leave out ("dd" of proc(5), smaps)."""
    smaps = procfs.read_text(pid, "smaps")
    left_out = re.findall(r"^([0-9a-f]+)-.*\n(?:[A-Z].*\n)*?VmFlags:.* dd\b", smaps, re.MULTILINE)
    skipped = {int(start, 16) for start in left_out}
    return [
        one for one in procfs.read_maps(pid)
        if "r" in one.permissions and one.start not in skipped and not one.path.startswith("[v")
    ]  # fmt: skip


def choose_ranges(maps: Sequence[Mapping], chance: random.Random) -> list[Range]:
    """Of each mapping its beginning, its end, and some pages and odd pieces between."""
    ranges: list[Range] = []
    for mapping in maps:
        size = mapping.end - mapping.start
        ranges += [(mapping.start, PAGE), (mapping.end - PAGE, PAGE)]
        for _ in range(4):
            at = chance.randrange(size)
            ranges.append((mapping.start + at, min(chance.randint(1, 3 * PAGE), size - at)))
    return list(dict.fromkeys(ranges))


Reading = dict[str, object]


def read_everything(interp: Interpreter, facts: dict[str, Any]) -> Reading:
    """All that a reader finds."""
    found: Reading = {"python": interp.python, "phase": interp.phase(), "modules": cpython.read_modules(interp)}
    for address, ident, tid in interp.threads():
        found[f"tid of {ident}"] = tid
        found[f"stack of {ident}"] = cpython.read_stack(interp, address)
        found[f"exception of {ident}"] = cpython.read_handled_exception(interp, address)
        found[f"threading of {ident}"] = cpython.read_threading(interp, ident)
    for address, attributes in facts["instances"]:
        for name, _ in attributes:
            value = cpython.read_attribute(interp, address, name)
            found[f"{address}.{name}"] = cpython.read_value(interp, value or 0)
    return found


def check_truth(found: Reading, facts: dict[str, Any]) -> None:
    """What is compared is what the target said of itself."""
    for ident, frames in facts["stacks"].items():
        stack = found[f"stack of {ident}"]
        assert isinstance(stack, Stack)
        assert [[frame.file, frame.line, frame.function] for frame in stack.frames] == [frame[:3] for frame in frames]
    assert found["modules"] == facts["modules"]


@contextmanager
def gdb_memory(pid: int) -> Iterator[GdbMemory]:
    """The memory of a process over a gdb that holds it."""
    need(shutil.which("gdb"), "gdb")
    with GdbSession(find_gdb(), watch_children=False, cache=None) as session:
        session.begin()
        session.attach(pid)
        yield GdbMemory(session, pid)
