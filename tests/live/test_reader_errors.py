"""Every error of the reader that a user can see, word for word: tests/golden/reader/NAME.txt is fact and help."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest

from harness import name_values, running
from interpreters import Interpreter as Python
from interpreters import find_interpreters, find_pypy
from lastwords import cpython
from lastwords.capture import elf, procfs
from lastwords.capture.memory import CachedMemory, Memory, ProcessMemory
from lastwords.cpython import choose
from lastwords.cpython.interpreter import open_image
from lastwords.errors import LastwordsError, TargetError
from needs import need

GOLDEN = Path(__file__).parents[1] / "golden" / "reader"
WAITS = "import sys; print('ready', flush=True); sys.stdin.read()"


class Forged:
    """Another memory with some bytes of its own."""

    def __init__(self, memory: Memory, forged: dict[int, bytes]) -> None:
        self.memory = memory
        self.forged = forged

    def read(self, address: int, size: int) -> bytes:
        data = bytearray(self.memory.read(address, size))
        for at, what in self.forged.items():
            if address <= at and at + len(what) <= address + size:
                data[at - address : at - address + len(what)] = what
        return bytes(data)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        found = self.memory.read_many(ranges)
        return [data and self.read(*item) for item, data in zip(ranges, found, strict=True)]


def check(name: str, error: LastwordsError, **words: object) -> None:
    """Fact and help are those of the golden file, with what differs by machine put in its place."""
    said = f"{error.fact}\n{error.help}\n".replace(choose.SUPPORTED, "<supported>")
    said = name_values(said, **words)
    said = re.sub(r"its \d+ mapped", "its <files>", said)
    assert re.sub(r"0x[0-9a-f]{5,}", "<address>", said) == (GOLDEN / f"{name}.txt").read_text()


def forge(forged_at: str, what: bytes) -> tuple[LastwordsError, int, str]:
    """The error for a process of a Python 3.13 with `_Py_DebugOffsets` or another symbol forged."""
    fit = [one for one in find_interpreters() if one.has("debug_offsets", "!free_threaded") and one.minor == "3.13"]
    need(fit, "a CPython 3.13")  # where its offsets lie is another place in each release
    with running([fit[0].path, "-c", WAITS]) as target:
        target.wait_for("ready")
        image = elf.find_python_image(target.pid, procfs.read_maps(target.pid))
        assert image is not None
        symbol, _, offset = forged_at.partition("+")
        at = (image.address(symbol) or 0) + int(offset or 0)
        memory = Forged(ProcessMemory(target.pid), {at: what})
        with mock.patch.dict(choose._known, clear=True), pytest.raises(TargetError) as caught:
            open_image(target.pid, CachedMemory(memory), image)
        return caught.value, target.pid, image.path


def test_free_threaded() -> None:
    error, pid, path = forge("_PyRuntime+16", struct.pack("<Q", 1))
    check("free_threaded", error, pid=f"Process {pid}", path=path, release=release_of(error))


@pytest.mark.interpreters("free_threaded", extra=True)
def test_a_free_threaded_build(interpreter: Python) -> None:
    with running([interpreter.path, "-c", WAITS]) as target:
        target.wait_for("ready")
        with pytest.raises(TargetError) as caught:
            cpython.open_process(target.pid)
        release = release_of(caught.value)
        check("free_threaded", caught.value, pid=f"Process {target.pid}", path=interpreter.path, release=release)
        assert release == interpreter.minor


def test_pypy() -> None:
    pypy = find_pypy()
    need(pypy, "the PyPy of `make pythons`")
    with running([str(pypy), "-c", WAITS]) as target:
        target.wait_for("ready")
        with pytest.raises(TargetError) as caught:
            cpython.open_process(target.pid)
        check("pypy", caught.value, pid=target.pid, path=pypy)


def release_of(error: LastwordsError) -> str:
    found = re.search(r"CPython (3\.\d+)", error.fact)
    assert found is not None
    return found.group(1)


def test_unsupported_release() -> None:
    error, pid, path = forge("Py_Version", struct.pack("<I", 0x03630000))
    check("unsupported_release", error, pid=f"Process {pid}", path=path)


def test_objects_elsewhere() -> None:
    error, pid, path = forge("_Py_NoneStruct+8", bytes(8))
    check("objects_elsewhere", error, pid=f"Process {pid}", path=path, release=release_of(error))


def test_no_interpreter_yet() -> None:
    error, pid, path = forge("_PyRuntime+632", bytes(8))
    check("no_interpreter", error, pid=f"Process {pid}", path=path, number=pid)


def test_gone_meanwhile() -> None:
    with running([sys.executable, "-c", WAITS]) as target:
        target.wait_for("ready")
        image = elf.find_python_image(target.pid, procfs.read_maps(target.pid))
        pid = target.pid
    with pytest.raises(TargetError) as caught:
        cpython.open_process(pid, image=image)
    check("gone_meanwhile", caught.value, pid=pid)


class Blank:
    """Another memory in which some ranges are not written yet."""

    def __init__(self, memory: Memory, ranges: Sequence[tuple[int, int]]) -> None:
        self.memory = memory
        self.ranges = ranges

    def read(self, address: int, size: int) -> bytes:
        blank = any(start <= address < end for start, end in self.ranges)
        return bytes(size) if blank else self.memory.read(address, size)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        return [self.read(*item) for item in ranges]


@pytest.mark.interpreters("shared")
def test_the_loader_has_not_written_the_addresses_of_types_yet(interpreter: Python) -> None:
    program = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()"
    with running([interpreter.path, "-c", program]) as target:
        target.wait_for("ready")
        maps = procfs.read_maps(target.pid)
        image = elf.find_python_image(target.pid, maps)
        assert image is not None
        data = next(one for one in maps if one.path == image.path and "w" in one.permissions)
        variables = next(one for one in maps if one.start == data.end and not one.path)
        memory = Blank(ProcessMemory(target.pid), [(data.start, variables.end)])
        with mock.patch.dict(choose._known, clear=True), pytest.raises(TargetError, match="no Python interpreter"):
            open_image(target.pid, CachedMemory(memory), image)
