"""Small cores of CPython 2.7 to 3.15 are read without any Python or library of this machine, packed in every way."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dumps import PACKERS, pack
from lastwords import cpython
from lastwords.capture.core.corefile import open_core
from lastwords.capture.core.headers import HEADER, PROGRAM_HEADER
from lastwords.capture.core.memory import CoreMemory
from lastwords.capture.memory import PAGE, ReadError
from lastwords.errors import LastwordsError, TargetError
from lastwords.examine.core import describe_signal, load_core, read_core_report
from lastwords.examine.read import Options
from lastwords.frames import python_frames
from lastwords.model import ExceptionValue, Frame

CORES = Path(__file__).parents[1] / "cores"
SIGNALS = {
    "py2.7": signal.SIGSEGV, "py3.8": signal.SIGABRT, "py3.11": None,
    "py3.13": signal.SIGSEGV, "deb3.15": signal.SIGBUS,
}  # fmt: skip


@pytest.fixture(params=SIGNALS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def facts(name: str) -> dict[str, Any]:
    return dict(json.loads((CORES / f"{name}.json").read_text()))


def core_of(name: str) -> Path:
    return CORES / f"{name}.core.xz"


def test_they_need_no_file_of_this_machine(name: str) -> None:
    assert [path for path in open_core(core_of(name)).files.by_path if Path(path).exists() and "python" in path] == []


def test_stacks_modules_and_threads_are_what_the_process_said(name: str, facts: dict[str, Any]) -> None:
    interp = load_core(core_of(name)).interp
    stacks = {str(ident): cpython.read_stack(interp, address) for address, ident, _ in interp.threads()}
    for ident, frames in facts["stacks"].items():
        assert stacks[ident].error is None
        assert [frame_facts(frame) for frame in stacks[ident].frames] == frames
    assert len(stacks) == len(facts["stacks"]) + 1, "the one that tells"
    assert cpython.read_modules(interp) == facts["modules"]
    assert (interp.python.version, interp.python.build) == (facts["version"], facts["build"])
    main = next(int(key) for key, entry in facts["active"].items() if entry[0] == "MainThread")
    active = cpython.read_threading(interp, main).active
    assert {str(one.key): [one.name, one.type, one.ident, one.daemon] for one in active} == facts["active"]


def frame_facts(frame: Frame) -> list[object]:
    return [frame.file, frame.line, frame.function, frame.qualname, frame.column]


def test_locals_and_exceptions_are_what_the_process_said(name: str, facts: dict[str, Any]) -> None:
    loaded = load_core(core_of(name))
    main = next(address for address, ident, _ in loaded.interp.threads() if is_main(facts, ident))
    seen = cpython.read_handled_exception(loaded.interp, main)
    assert isinstance(seen, ExceptionValue)
    assert (seen.type, seen.value) == (facts["exception"]["type"], facts["exception"]["value"])
    report = read_core_report(core_of(name), options=Options(locals=True))
    handle = next(frame for thread in report.threads for frame in thread.stack if frame.function == "handle")
    assert handle.locals is not None
    assert handle.locals["depth"].repr == "3"
    assert loaded.core.problems == []


def is_main(facts: dict[str, Any], ident: int) -> bool:
    return bool(facts["active"][str(ident)][0] == "MainThread")


def test_what_the_process_was_and_died_of(name: str) -> None:
    core = open_core(core_of(name))
    assert core.signal == SIGNALS[name]
    assert core.executable == core.argv[0]
    assert core.argv[1:] == (["/mnt/reader_describes.py", "3"] if core.signal else [])  # gdb notes the program alone
    assert core.fault_address is None, "it was killed by another process"
    assert core.crashed_tid == (core.threads[0].tid if core.signal else None)
    assert sorted(thread.ident is not None and thread.sp is not None for thread in core.threads) == [True] * 3
    if core.signal is not None:
        assert describe_signal(core) == f"signal {signal.Signals(core.signal).name}, sent by process {core.sender}"


def test_the_report_begins_with_the_thread_that_died(name: str) -> None:
    report = read_core_report(core_of(name))
    core = open_core(core_of(name))
    assert report.threads[0].tid == (core.crashed_tid or core.pid)
    assert {thread.tid for thread in report.threads} == {thread.tid for thread in core.threads}
    assert [caught.how for caught in report.exceptions] == (["fatal"] if core.signal else [])
    assert [frame.function for frame in python_frames(report.threads[0].stack)][:1] == ["block"]


@pytest.fixture(scope="module")
def plain() -> bytes:
    return lzma.decompress(core_of("py3.8").read_bytes())


@pytest.mark.parametrize("how", PACKERS)
def test_packed_in_every_way_it_is_the_same(how: str, plain: bytes, tmp_path: Path) -> None:
    path = tmp_path / "core"  # its name does not tell
    path.write_bytes(pack(how, plain))
    loaded, expected = load_core(path), load_core(core_of("py3.8"))
    for one in expected.core.maps:
        assert loaded.core.memory.read_many([(one.start, PAGE)]) == expected.core.memory.read_many([(one.start, PAGE)])
    assert loaded.interp.threads() == expected.interp.threads()
    assert loaded.core.problems == []


@pytest.mark.parametrize(("how", "part"), [("plain", 0.001), ("plain", 0.98), *((how, 0.6) for how in PACKERS)])
def test_cut_anywhere_it_is_read_as_far_as_it_goes(how: str, part: float, plain: bytes, tmp_path: Path) -> None:
    packed = pack(how, plain)
    path = tmp_path / "core"
    path.write_bytes(packed[: int(len(packed) * part)])
    try:
        assert open_core(path).problems
        load_core(path)
    except LastwordsError as error:
        assert str(path) in error.fact
        assert any(word in error.fact for word in ("empty", "cut off", "damaged"))


def test_pages_of_zeros_take_no_room(tmp_path: Path) -> None:
    path = tmp_path / "core"
    path.write_bytes(gzip.compress(b"\x7fELF" + bytes(8 << 20)))
    with pytest.raises(TargetError, match="ELF file of type 0"):
        open_core(path)


def test_what_it_does_not_hold_is_our_error() -> None:
    memory = open_core(core_of("py3.13")).memory
    for address, size in ((0, 8), (64, 8), (2**64 - 8, 64), (-8, 8), (0x1000, -1), (0x1000, 2**40)):
        with pytest.raises(ReadError) as caught:
            memory.read(address, size)
        assert caught.value.missing == "unreadable"
        assert memory.read_many([(address, size)]) == [None]


def test_a_core_of_a_gigabyte_opens_at_once(plain: bytes, tmp_path: Path) -> None:
    path = tmp_path / "core"
    large = bytearray(plain)
    at = HEADER.size + PROGRAM_HEADER.size * (HEADER.unpack_from(plain)[10] - 1)
    header = list(PROGRAM_HEADER.unpack_from(plain, at))
    header[5] = header[6] = 1 << 30
    PROGRAM_HEADER.pack_into(large, at, *header)
    path.write_bytes(large)
    os.truncate(path, len(large) + (1 << 30))
    start = time.process_time()
    core = open_core(path)
    took = time.process_time() - start
    assert core.memory.read(header[3] + (1 << 30) - PAGE, PAGE) == bytes(PAGE)
    assert took < 0.1, "milliseconds, of processor time"


def test_more_segments_than_a_header_can_count(plain: bytes, tmp_path: Path) -> None:
    """PN_XNUM: the first section header says how many."""
    header = list(HEADER.unpack_from(plain))
    count, header[10], header[6] = header[10], 0xFFFF, len(plain)
    path = tmp_path / "core"
    path.write_bytes(HEADER.pack(*header) + plain[HEADER.size :] + bytes(44) + count.to_bytes(4, "little") + bytes(16))
    assert open_core(path).maps == open_core(core_of("py3.8")).maps


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.tuples(st.integers(0, 4096), st.binary(min_size=1, max_size=8)), max_size=4))
def test_damaged_headers_and_notes_end_in_our_errors(changes: list[tuple[int, bytes]], plain: bytes) -> None:
    data = bytearray(plain)
    for at, replacement in changes:
        data[at : at + len(replacement)] = replacement
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            load_core(Path(file.name))
        except LastwordsError as error:
            assert error.fact


def test_zeros_in_place_of_a_stack_are_not_believed(tmp_path: Path) -> None:
    """As gdb 13's gcore writes them; another thread's stack beside it is read."""
    data = bytearray(lzma.decompress(core_of("py3.8").read_bytes()))
    path = tmp_path / "core"
    path.write_bytes(data)
    whole = open_core(path)
    assert isinstance(whole.memory, CoreMemory)
    first, second, *_ = (thread for thread in whole.threads if thread.sp)
    load = whole.memory.segments.find(first.sp or 0)
    assert load is not None
    data[load.offset : load.offset + load.file_size] = bytes(load.file_size)
    path.write_bytes(data)
    core = open_core(path)
    assert core.problems[-1:] == [f"the core has zeros in place of the stack of thread {first.tid}"]
    with pytest.raises(ReadError, match="not in the core file"):
        core.memory.read(first.sp or 0, 8)
    assert core.memory.read(second.sp or 0, 8) == whole.memory.read(second.sp or 0, 8)
