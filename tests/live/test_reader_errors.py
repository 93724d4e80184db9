"""Every error of the reader that a user can see, word for word: tests/golden/reader/NAME.txt is fact and help."""

from __future__ import annotations

import os
import re
import shutil
import struct
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest

from harness import running, wait_until
from interpreters import Interpreter as Python
from interpreters import find_interpreters, find_pypy
from lastwords import cpython
from lastwords.capture import elf, procfs
from lastwords.capture.memory import CachedMemory, Memory, ProcessMemory
from lastwords.cpython import choose
from lastwords.cpython.interpreter import open_image
from lastwords.errors import LastwordsError, SetupError, TargetError
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
    for word, value in words.items():
        said = said.replace(str(value), f"<{word}>")
    said = re.sub(r"its \d+ mapped", "its <files>", said)
    assert re.sub(r"0x[0-9a-f]{5,}", "<address>", said) == (GOLDEN / f"{name}.txt").read_text()


def no_process() -> int:
    """A pid that nobody has."""
    return int(Path("/proc/sys/kernel/pid_max").read_text()) + 1


def test_no_process() -> None:
    with pytest.raises(TargetError) as caught:
        cpython.open_process(no_process())
    check("no_process", caught.value, pid=no_process())


def test_not_python() -> None:
    sleep = shutil.which("sleep")
    need(sleep, "sleep")
    with running([str(sleep), "1000"]) as target:
        path = os.path.realpath(str(sleep))
        wait_until(lambda: procfs.read_link(target.pid, "exe") == path, "sleep is executed")
        wait_until(lambda: "libc" in str(procfs.read_maps(target.pid)), "libc is loaded")
        with pytest.raises(TargetError) as caught:
            cpython.open_process(target.pid)
        check("not_python", caught.value, pid=target.pid, path=path)


def test_zombie() -> None:
    program = "import os; os.fork() or os._exit(0); print('ready', flush=True); input()"
    with running([sys.executable, "-c", program]) as target:
        target.wait_for("ready")
        children = Path(f"/proc/{target.pid}/task/{target.pid}/children")
        need(children.exists(), "/proc/PID/task/TID/children")
        child = int(children.read_text().split()[0])
        wait_until(lambda: procfs.read_status(child).state == "Z", "the child is a zombie")
        with pytest.raises(TargetError) as caught:
            cpython.open_process(child)
        check("zombie", caught.value, pid=child, parent=target.pid)


def test_of_another_user() -> None:
    need(os.geteuid() == 0, "root, to be somebody else")
    with running([sys.executable, "-c", WAITS]) as target:
        target.wait_for("ready")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: that a thread of ours reads the target's output
            pid = os.fork()
        if pid == 0:  # nothing but the answer leaves this process
            os.setresuid(65534, 65534, 65534)
            try:
                cpython.open_process(target.pid)
            except SetupError as error:
                code = 0 if "may not be read: it runs as user 0" in error.fact else 1
            except BaseException:
                code = 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def forge(forged_at: str, what: bytes) -> tuple[LastwordsError, int, str]:
    """The error for a process of a Python >= 3.13 with `_Py_DebugOffsets` or another symbol forged."""
    fit = [one for one in find_interpreters() if one.has("debug_offsets")]
    need(fit, "a CPython with _Py_DebugOffsets")
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
