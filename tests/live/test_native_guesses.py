"""C stacks through code without unwind tables, through files that are gone, and what of them is said to be guessed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness import PATIENCE, TARGETS, Target, wait_until_at_rest
from interpreters import Interpreter
from lastwords.capture.captured import Captured
from lastwords.capture.memory import Memory, Range, ReadError, unreadable
from lastwords.capture.stop.live import capture_process
from lastwords.native.images import NativeImage, list_images
from lastwords.native.names import open_names
from lastwords.native.unwind import NativeFrame, NativeStack, open_unwinder
from needs import need

Start = Callable[..., Target]
CHAIN = ["deepest", "deeper", "call_back"]
NO_TABLES = ("-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-exceptions")
WAYS = {
    "tables": ("-O2",),
    "pointers": (*NO_TABLES, "-O0", "-fno-omit-frame-pointer"),
    "nothing": (*NO_TABLES, "-O2", "-fomit-frame-pointer"),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def library(way: str, tmp_path: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    need(compiler, "a C compiler")
    path = tmp_path / f"{way}.so"
    words = [str(compiler), *WAYS[way], "-g", "-shared", "-fPIC", "-o", str(path), str(TARGETS / "no_tables.c")]
    subprocess.run(words, check=True, timeout=PATIENCE)
    return path


def start(start_target: Start, python: Interpreter, library: Path) -> Captured:
    target = start_target(python, "native_callback.py", str(library))
    wait_until_at_rest(target.pid)
    return capture_process(target.pid, lambda *_: None, lambda *_: None)


def unwind(captured: Captured, images: Sequence[NativeImage] | None = None) -> NativeStack:
    (thread,) = captured.threads
    images = list_images(captured) if images is None else images
    return open_unwinder(captured.memory, images, captured.architecture).unwind(thread.registers)


def frames_of(stack: NativeStack, library: Path) -> list[NativeFrame]:
    return [frame for frame in stack.frames if frame.library == str(library)]


def test_callers_are_found(start_target: Start, running_python: Interpreter, library: Path, way: str) -> None:
    stack = unwind(start(start_target, running_python, library))
    assert stack.error is None
    found = frames_of(stack, library)
    assert [frame.function for frame in found] == CHAIN
    assert stack.frames[-1].function == "_start"
    first = stack.frames.index(found[0])
    guessed = [frame.guessed for frame in stack.frames]
    assert guessed == [way != "tables" and at > first for at in range(len(guessed))]
    if found[0].line:  # by drgn
        assert [(Path(frame.file or "").name, frame.line) for frame in found] == [
            ("no_tables.c", line) for line in (7, 13, 17)
        ]


@pytest.mark.parametrize("way", ["tables"])
def test_a_file_that_is_gone(start_target: Start, running_python: Interpreter, library: Path) -> None:
    """Its tables, and the names that the loader needs, are read where they are mapped."""
    captured = start(start_target, running_python, library)
    whole = unwind(captured)
    images = list_images(captured)
    for image in images:
        if image.path == str(library):
            image.__dict__["file"] = None  # as where neither its name nor map_files leads to it
    found = unwind(captured, images)
    assert [(one.pc, one.sp) for one in found.frames if not one.inlined] == [
        (one.pc, one.sp) for one in whole.frames if not one.inlined
    ]
    assert [frame.function for frame in frames_of(found, library)] == [None, None, "call_back"]
    assert [frame.offset for frame in frames_of(found, library)] == [
        frame.offset for frame in frames_of(whole, library)
    ]


@pytest.mark.parametrize("way", ["tables"])
def test_stop_and_overlay(start_target: Start, running_python: Interpreter, library: Path) -> None:
    """What a suspended greenlet needs: other bytes over the stack for this once, and an end at an address."""
    captured = start(start_target, running_python, library)
    (thread,) = captured.threads
    images = list_images(captured)
    whole = unwind(captured, images)
    middle = frames_of(whole, library)[1].sp
    begin = whole.frames[0].sp
    saved = captured.memory.read(begin, middle - begin + 24)
    holed = Holed(captured.memory, begin, middle + 24)
    unwinder = open_unwinder(holed, images, captured.architecture)
    assert unwinder.unwind(thread.registers, overlay=[(begin, saved)]) == whole
    assert unwinder.unwind(thread.registers).frames == whole.frames[:1]
    assert "cannot be read" in (unwinder.unwind(thread.registers).error or "")
    halves = [(begin, saved[:100]), (begin + 100, saved[100:]), (begin, bytes(100))]
    assert unwinder.unwind(thread.registers, overlay=halves) == whole
    stopped = unwinder.unwind(thread.registers, stop=middle, overlay=[(begin, saved)])
    assert stopped.error is None
    assert stopped.frames == [frame for frame in whole.frames if frame.sp < middle]


class Holed:
    """A memory without a part of another."""

    def __init__(self, memory: Memory, start: int, end: int) -> None:
        self.memory, self.start, self.end = memory, start, end

    def read(self, address: int, size: int) -> bytes:
        if address < self.end and address + size > self.start:
            raise unreadable(address, size, "a hole")
        return self.memory.read(address, size)

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        raise ReadError("nobody asks for many")


@pytest.mark.parametrize("way", ["tables"])
def test_debug_information_in_a_file_of_its_own(
    start_target: Start, running_python: Interpreter, library: Path, tmp_path: Path
) -> None:
    """Found by the link that the library has, if the checksum is right; else the frames have no names."""
    need(shutil.which("objcopy"), "objcopy")
    debug = tmp_path / "own.debug"
    for words in (
        ["--only-keep-debug", library, debug],
        ["--strip-all", library],
        [f"--add-gnu-debuglink={debug}", library],
    ):
        subprocess.run(["objcopy", *map(str, words)], check=True, timeout=PATIENCE)
    captured = start(start_target, running_python, library)
    assert [frame.function for frame in frames_of(unwind(captured), library)] == CHAIN
    other = tmp_path / "other.so"
    shutil.copy(library, other)
    debug.write_bytes(debug.read_bytes() + b"x")
    image = NativeImage(str(other), list_images(captured)[0].parts, captured.memory, lambda: other)
    found = frames_of(unwind(captured), library)[0]
    assert found.offset is not None
    assert not open_names(image).find(found.offset - 1)
