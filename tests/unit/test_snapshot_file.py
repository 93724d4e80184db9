"""What is written of a moment is what is read again: tested on moments made here."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sample_reports
from lastwords.capture.architectures import this_machine
from lastwords.capture.captured import Captured, KernelThread, Syscall
from lastwords.capture.core.corefile import open_core
from lastwords.capture.kernel.descriptors import DescriptorFacts
from lastwords.capture.kernel.facts import Child, Facts
from lastwords.capture.kernel.file_locks import FileLock
from lastwords.capture.kernel.other_ends import OtherEnd
from lastwords.capture.memory import PAGE, ReadError
from lastwords.capture.procfs import Mapping
from lastwords.capture.snapshot import note as notes
from lastwords.capture.snapshot.facts import Answers, RecordedFacts, RecordingFacts
from lastwords.capture.snapshot.landmarks import (
    DT_DEBUG,
    LINK_MAP,
    PAIR,
    PROGRAM_HEADER,
    R_DEBUG,
    find_names,
    read_libraries,
)
from lastwords.capture.snapshot.note import SnapshotNote, decode, encode, note_of
from lastwords.capture.snapshot.write import Owner, cut_pieces, write_snapshot
from lastwords.capture.stop.copied import PIECE, CopiedMemory
from lastwords.errors import TargetError
from lastwords.examine.recorded import recorded_report

BASE = 0x10000
OWNER = Owner(4711, 1, 1000, "python3", ["python3", "app.py", "\udcff"])
fast = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
WORDS = st.integers(0, (1 << 64) - 1)
NAMES = st.text(max_size=15) | st.just("\udcff")


@st.composite
def threads(draw: st.DrawFn) -> list[KernelThread]:
    """Threads, some with all registers, some with what /proc tells alone."""
    architecture = this_machine()
    made = []
    for tid in draw(st.lists(st.integers(1, 1 << 22), min_size=1, max_size=5, unique=True)):
        call = Syscall(202, "futex", tuple(draw(st.lists(WORDS, min_size=6, max_size=6))))
        name, state, still = draw(NAMES), draw(st.sampled_from("RSD")), draw(st.booleans())
        if draw(st.booleans()):
            values = draw(st.lists(WORDS, min_size=27, max_size=27))
            registers = dict(zip(architecture.registers, values, strict=True))
            made.append(
                KernelThread(
                    tid, name, state, call, registers, registers["rsp"], registers["rip"],
                    registers["fs_base"] or None, still, os.urandom(512),
                )
            )  # fmt: skip
        else:
            made.append(KernelThread(tid, name, state, call, sp=draw(WORDS), pc=draw(WORDS), stood_still=still))
    return made


@st.composite
def moments(draw: st.DrawFn) -> Captured:
    """A moment of twelve pages, some of which are not there; something of them was used, and some are stacks."""
    holes = draw(st.frozensets(st.integers(0, 11), max_size=5))
    pages = {BASE + at * PAGE: None if at in holes else os.urandom(PAGE) for at in range(12)}
    memory = CopiedMemory(dict(pages))
    for address, size in draw(st.lists(st.tuples(st.integers(BASE, BASE + 12 * PAGE), st.integers(0, 600)))):
        try:
            memory.read(address, size)
        except ReadError:
            continue
    stacks = draw(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 3)), max_size=2))
    maps = [
        Mapping(BASE, BASE + 5 * PAGE, "r-xp", 0, 1, 7, "/opt/libx.so"),
        Mapping(BASE + 5 * PAGE, BASE + 12 * PAGE, "rw-p", 0, 0, 0, ""),
    ]
    return Captured(
        4711, memory, maps, draw(threads()), this_machine(), "stopped for 1.0 ms",
        problems=draw(st.lists(NAMES, max_size=2)), auxv=PAIR.pack(6, PAGE) + PAIR.pack(0, 0),
        stacks=[(BASE + at * PAGE, count * PAGE) for at, count in stacks],
    )  # fmt: skip


def written(captured: Captured, folder: Path, note: SnapshotNote | None = None, behind: bytes = b"") -> Path:
    path = folder / "snapshot"
    with path.open("wb") as file:
        size = write_snapshot(captured, OWNER, note or note_of(captured, "1.0"), file, bundled=bool(behind))
        assert file.tell() == size
        file.write(behind)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snapshots")


@fast
@given(moments())
def test_what_is_written_is_read_again(folder: Path, captured: Captured) -> None:
    memory = captured.memory
    assert isinstance(memory, CopiedMemory)
    core = open_core(written(captured, folder))
    assert core.snapshot is not None
    assert core.threads == captured.threads
    assert core.maps == captured.maps
    assert (core.pid, core.ppid, core.uid, core.name) == (4711, 1, 1000, "python3")
    assert core.snapshot.problems == captured.problems
    pieces = list(cut_pieces(captured))
    wanted = memory.used.union(*(range(start, start + size, PIECE) for start, size in captured.stacks))
    kept = {at for one in pieces for at in range(one.address, one.address + len(one.data), PIECE)}
    assert kept == {one for one in wanted if memory.pages.get(one & -PAGE) is not None}
    for at in kept:
        page = memory.pages[at & -PAGE]
        assert page is not None
        assert core.memory.read(at, PIECE) == page[at % PAGE : at % PAGE + PIECE]
    for at in range(BASE, BASE + 12 * PAGE, PIECE):
        assert (core.memory.read_many([(at, PIECE)])[0] is not None) == (at in kept)


@fast
@given(moments(), st.data())
def test_cut_off_anywhere_it_is_said(folder: Path, captured: Captured, data: st.DataObject) -> None:
    path = written(captured, folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    try:
        core = open_core(path)
    except TargetError:
        return
    assert "is cut off" in " ".join(core.problems)


@fast
@given(moments(), st.data())
def test_a_damaged_note_is_said(folder: Path, captured: Captured, data: st.DataObject) -> None:
    path = written(captured, folder)
    whole = bytearray(path.read_bytes())
    at = whole.index(notes.OWNER) + 12 + data.draw(st.integers(notes.HEADER.size, notes.HEADER.size + 100))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    core = open_core(path)
    assert core.snapshot is None
    assert "says beside memory and registers cannot be read" in " ".join(core.problems)
    assert {one.tid for one in core.threads} == {one.tid for one in captured.threads}


def sample(count: int = 1) -> Captured:
    pages = {BASE + at * 2 * PIECE & -PAGE: bytes(PAGE) for at in range(count)}
    memory = CopiedMemory(dict(pages))
    memory.used = {BASE + at * 2 * PIECE for at in range(count)}
    return Captured(4711, memory, [], [KernelThread(4711)], this_machine(), "a test")


def test_a_newer_note_is_named_and_the_rest_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(notes, "VERSION", 2)
        path = written(sample(), tmp_path)
    core = open_core(path)
    assert core.snapshot is None
    assert [one.tid for one in core.threads] == [4711]
    assert core.problems == [
        f"{path} does not say which files were mapped (it has no NT_FILE note)",
        f"{path} is a snapshot of a newer lastwords (version 2, this lastwords reads version 1): "
        "what only its note says is missing",
    ]


def test_more_pieces_than_an_elf_header_can_count(tmp_path: Path) -> None:
    core = open_core(written(sample(70_000), tmp_path))
    assert core.memory.read(BASE + 69_999 * 2 * PIECE, PIECE) == bytes(PIECE)


def test_where_the_bundle_begins(tmp_path: Path) -> None:
    path = written(sample(), tmp_path, behind=b"what is packed")
    core = open_core(path)
    assert core.snapshot is not None
    assert path.read_bytes()[core.snapshot.bundle :] == b"what is packed"
    assert core.problems == [f"{path} does not say which files were mapped (it has no NT_FILE note)"]


def test_a_note_of_bytes_that_are_nothing() -> None:
    for data in (b"", b"\1", bytes(16), notes.HEADER.pack(1, 0, 0) + b"junk", encode(SnapshotNote("1", "x"))[:-3]):
        with pytest.raises(ValueError, match=r"too short|damaged|cut off"):
            decode(data)


@pytest.mark.parametrize("report", [{}, {"threads": 7}, msgspec.to_builtins(sample_reports.report())])
def test_a_damaged_report_is_an_error_of_ours(report: dict[str, object]) -> None:
    note = SnapshotNote("1", "x", report={**report, "moments": []})
    with pytest.raises(TargetError, match="The report in the snapshot's note is damaged: "):
        recorded_report(note, "no files")


# What /proc said


class Asked(Facts):
    """A process of which every answer is known; each is given once."""

    def __init__(self) -> None:
        super().__init__(4711, Path("/nonexistent"))

    def descriptor(self, fd: int) -> DescriptorFacts | None:
        return DescriptorFacts(fd, f"pipe:[{fd}]", "pipe")

    def all_descriptors(self) -> dict[int, str]:
        return {3: "pipe:[3]", 4: "socket:[4]\udcff"}

    def other_end(self, fd: int) -> OtherEnd | None:
        return OtherEnd(f"who has {fd}", (1, 2))

    def was_accepted(self, fd: int) -> bool:
        return fd == 3

    @cached_property
    def children(self) -> list[Child]:
        return [Child(77, "Z", 7, ("a", "b"))]

    @cached_property
    def ancestors(self) -> list[int]:
        return [99, 1]

    def describe_process(self, pid: int) -> str:
        return f"the process {pid}"

    def is_there(self, pid: int) -> bool:
        return pid == 5

    def clock_start(self, clock: int) -> float | None:
        return clock * 10.5

    def group_of(self, pid: int) -> int | None:
        return pid + 1

    def outer_pid(self, pid: int) -> int | None:
        return pid + 2

    def lock_blockers(self, fd: int, kind: str) -> list[FileLock]:
        return [FileLock(1, False, kind, "WRITE", 9, fd)]

    def sharers(self, fd: int) -> list[int]:
        return [fd, fd + 1]


def ask(facts: Facts) -> list[object]:
    return [
        facts.descriptor(3), facts.all_descriptors(), facts.other_end(3), facts.describe(4), facts.describe_process(8),
        facts.is_there(5), facts.is_there(6), facts.clock_start(1), facts.group_of(7), facts.outer_pid(7),
        facts.lock_blockers(3, "FLOCK"), facts.sharers(3), facts.children, facts.ancestors,
        facts.was_accepted(3), facts.was_accepted(4),
    ]  # fmt: skip


def test_answers_are_given_again() -> None:
    recording = RecordingFacts(Asked())
    told = ask(recording)
    recording.ask_all()
    note = decode(encode(SnapshotNote("1.0", "x", answers=recording.answers)))
    recorded = RecordedFacts(4711, note.answers)
    assert ask(recorded) == told
    assert recorded.other_end(4) == OtherEnd("who has 4", (1, 2)), "nobody had asked"


def test_no_question_reaches_the_machine_that_reads() -> None:
    """Else a process that has the number of the snapshot's one today would be described."""
    public = {name for name in vars(Facts) if not name.startswith("_")}
    derived = {"describe", "child"}
    assert public - set(vars(RecordedFacts)) == derived
    assert public - set(vars(RecordingFacts)) == {*derived, "shares_clocks"}
    empty = RecordedFacts(os.getpid(), Answers())
    assert empty.children == []
    assert (empty.shares_clocks, empty.child(1), empty.describe(0)) == (False, None, "fd 0")


# The loader's list


class Flat:
    """Memory from 0x1000 on."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: set[int] = set()

    def read(self, address: int, size: int) -> bytes:
        self.asked.update(range(address, min(address + size, address + 0x1000)))
        if not 0x1000 <= address <= address + size <= 0x1000 + len(self.data):
            raise ReadError("not there")
        return self.data[address - 0x1000 : address - 0x1000 + size]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        return [self.read(*one) for one in ranges]


def make_libraries(following: int) -> tuple[Flat, bytes]:
    """A program at 0x1000 with two libraries; the last names `following` as the next."""
    table = PROGRAM_HEADER.pack(6, 0, 0, 0x0, 0, 0, 0, 0) + PROGRAM_HEADER.pack(2, 0, 0, 0x200, 0, 0x90, 0x90, 8)
    data = bytearray(0x1000)
    data[: len(table)] = table
    dynamic = PAIR.pack(1, 1) + PAIR.pack(DT_DEBUG, 0x1300) + PAIR.pack(0, 0)
    data[0x200 : 0x200 + len(dynamic)] = dynamic
    data[0x300:0x328] = R_DEBUG.pack(1, 0x1400, 0, 0, 0)
    data[0x400:0x428] = LINK_MAP.pack(0x1000, 0x1600, 0x1200, 0x1500, 0)
    data[0x500:0x528] = LINK_MAP.pack(0, 0x1700, 0x1200, following, 0x1400)
    data[0x700:0x70E] = b"/lib/libx.so.1"
    return Flat(bytes(data)), PAIR.pack(3, 0x1000) + PAIR.pack(5, 2) + PAIR.pack(0, 0)


@pytest.mark.parametrize("following", [0, 0x1400, 0x1500, 0xDEAD0000])
def test_the_list_of_libraries_ends(following: int) -> None:
    memory, auxv = make_libraries(following)
    assert [name for name, _ in read_libraries(memory, auxv)] == ["", "/lib/libx.so.1"]
    maps = [Mapping(0x1000, 0x2000, "r--p", 0, 1, 7, "/usr/lib/libx.so.1.2")]
    assert find_names(memory, maps, auxv) == {"/lib/libx.so.1": "/usr/lib/libx.so.1.2"}


def test_the_programs_dynamic_section_is_read_to_its_end() -> None:
    """drgn finds no library where that which the linker left free behind the last entry is missing."""
    memory, auxv = make_libraries(0)
    list(read_libraries(memory, auxv))
    assert set(range(0x1200, 0x1290)) <= memory.asked


@given(st.binary(max_size=200), st.binary(max_size=64))
def test_any_bytes_are_no_list(data: bytes, auxv: bytes) -> None:
    list(read_libraries(Flat(data), PAIR.pack(3, 0x1000) + PAIR.pack(5, 3) + auxv))


def test_it_goes_into_a_pipe() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.size = 0

        def write(self, data: object, /) -> int:
            assert isinstance(data, bytes)
            self.size += len(data)
            return len(data)

        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError("a pipe")

    pipe = Pipe()
    captured = sample()
    assert write_snapshot(captured, OWNER, note_of(captured, "1.0"), pipe) == pipe.size  # type: ignore[arg-type]


def test_what_was_never_copied_cannot_be_kept() -> None:
    captured = sample()
    captured.memory = Flat(b"")
    with pytest.raises(TypeError, match="only what was copied"):
        list(cut_pieces(captured))
