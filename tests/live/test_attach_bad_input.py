"""`lastwords attach` where it cannot, or only nearly: every message word for word (tests/golden/attach_*.txt).

What can be read all the same is read: a stopped process, a traced one, one whose files were deleted or replaced.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import lastwords
from harness import TARGETS, Target, name_values, running, wait_until
from interpreters import Interpreter as Python
from lastwords.capture import procfs
from lastwords.capture.elf import Image
from lastwords.capture.memory import CachedMemory
from lastwords.cli import main
from lastwords.cpython.interpreter import Interpreter, open_image
from lastwords.errors import TargetError
from needs import lack, need
from nobody import NOBODY, as_nobody

GOLDEN = Path(__file__).parents[1] / "golden"
WAITS = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()"
# What a process does when Python has finished in it: exit(3) calls it last.
FINISHED = (
    "import ctypes, os; libc = ctypes.CDLL(None); libc.__cxa_atexit(libc.pause, None, None); os.write(1, b'ready\\n')"
)
PAUSE = "34 "
WITHOUT_MAP_FILES = ["setpriv", "--bounding-set=-sys_admin,-checkpoint_restore"]
Output = pytest.CaptureFixture[str]


def check(name: str, capfd: Output, pid: int, code: int, **words: object) -> None:
    """The command ends with `code`, says nothing on stdout, and on stderr what the golden file has."""
    ended = main(["attach", str(pid)])
    shown = capfd.readouterr()
    compare(name, shown.err, pid=pid, **words)
    assert (ended, shown.out) == (code, "")


def compare(name: str, text: str, **words: object) -> None:
    text = name_values(text, **words)
    text = re.sub(r"its \d+ mapped", "its <files> mapped", text)
    golden = GOLDEN / f"attach_{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def read(capfd: Output, pid: int, code: int = 0) -> dict[str, Any]:
    """The report of a process that is read all the same."""
    assert main(["attach", str(pid), "--json", "-"]) == code
    shown = capfd.readouterr()
    assert shown.err == ""
    report: dict[str, Any] = json.loads(shown.out)
    return report


def functions(report: dict[str, Any]) -> list[str]:
    return [frame["function"] for frame in report["threads"][0]["stack"] if frame["kind"] == "python"]


# What is not there, or is no Python


def test_no_such_process(capfd: Output) -> None:
    check("no_process", capfd, int(Path("/proc/sys/kernel/pid_max").read_text()) + 1, 3)


@pytest.mark.parametrize("argument", ["0", "x"])
def test_no_number(argument: str, capfd: Output) -> None:
    assert main(["attach", argument]) == 2
    compare(f"argument_{argument}", capfd.readouterr().err)


def test_a_kernel_thread(capfd: Output) -> None:
    names = {2: "kthreadd"}
    status = procfs.read_status(2) if Path("/proc/2").exists() else None
    need(status and status.name == names[2], "a kernel thread with pid 2")
    check("kernel_thread", capfd, 2, 3)


def test_a_zombie(capfd: Output) -> None:
    program = "import os; os.fork() or os._exit(0); print('ready', flush=True); input()"
    with running([sys.executable, "-c", program]) as target:
        target.wait_for("ready")
        child = next(pid for pid in _pids() if _parent(pid) == target.pid)
        wait_until(lambda: procfs.read_status(child).state == "Z", "the child is a zombie")
        check("zombie", capfd, child, 3, parent=target.pid)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _parent(pid: int) -> int | None:
    try:
        return procfs.read_status(pid).ppid
    except procfs.ProcessGoneError:
        return None


def test_not_python(capfd: Output) -> None:
    sleep = shutil.which("sleep")
    need(sleep, "sleep")
    path = os.path.realpath(str(sleep))
    with running([path, "1000"]) as target:
        wait_until(lambda: procfs.read_link(target.pid, "exe") == path, "sleep is executed")
        wait_until(lambda: "libc" in str(procfs.read_maps(target.pid)), "libc is loaded")
        check("not_python", capfd, target.pid, 3, path=path)


def test_a_thread_is_not_a_process(capfd: Output) -> None:
    program = "import threading; t = threading.Thread(target=input); t.start(); print('ready', t.native_id, flush=True)"
    with running([sys.executable, "-c", program]) as target:
        thread = int(target.wait_for("ready").split()[1])
        check("thread", capfd, thread, 3, process=target.pid)


PROGRAM_32 = 'void _start(void) { for (;;) __asm__ volatile("int $0x80" : : "a"(29)); }'  # pause()


def test_a_32_bit_program(capfd: Output, tmp_path: Path) -> None:
    need(shutil.which("gcc"), "gcc")
    source, program = tmp_path / "waits.c", tmp_path / "waits"
    source.write_text(PROGRAM_32)
    flags = ["-m32", "-nostdlib", "-static", "-no-pie", "-fno-pic", "-fno-stack-protector"]
    built = subprocess.run(["gcc", *flags, "-o", program, source], capture_output=True, check=False)
    if built.returncode:
        lack("a gcc that makes 32-bit programs")
    try:
        with running([program]) as target:
            wait_until(lambda: procfs.read_link(target.pid, "exe") == str(program), "it is executed")
            check("32_bit", capfd, target.pid, 3, path=program)
    except OSError as error:
        lack(f"a kernel that runs 32-bit programs ({error})")


# Python, but too early or too late


@contextmanager
def traced(*arguments: object) -> Iterator[tuple[int, Target]]:
    """The process that is held by ptrace, and its tracer: see targets/traces.py."""
    with running([sys.executable, TARGETS / "traces.py", *map(str, arguments)]) as tracer:
        yield int(tracer.wait_for("ready").split()[1]), tracer


def test_just_starting(interpreter: Python, capfd: Output) -> None:
    """Held before its first instruction."""
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    with traced("exec", interpreter.path, "-c", WAITS) as (pid, _):
        if interpreter.has("shared"):
            path = os.path.realpath(interpreter.path)
            library = f"libpython{interpreter.minor}{'m' * (interpreter.minor in ('3.6', '3.7'))}.so.1.0"
            check("starting", capfd, pid, 3, path=path, library=library)
        else:
            check("no_interpreter", capfd, pid, 3)


@pytest.mark.interpreters("ctypes")
def test_past_finalization(interpreter: Python, capfd: Output) -> None:
    with running([interpreter.path, "-c", FINISHED]) as target:
        target.wait_for("ready")
        wait_until(lambda: procfs.read_text(target.pid, "syscall").startswith(PAUSE), "Python has finished")
        check("no_interpreter", capfd, target.pid, 3)


def test_one_that_ends_while_it_is_read(capfd: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed and reaped, at the first look at its interpreter."""

    def open_image_of_the_dead(pid: int, memory: CachedMemory, image: Image) -> Interpreter:
        target.process.kill()
        target.process.wait()
        return open_image(pid, memory, image)

    monkeypatch.setattr("lastwords.examine.process.open_image", open_image_of_the_dead)
    with running([sys.executable, "-c", WAITS]) as target:
        target.wait_for("ready")
        check("gone_meanwhile", capfd, target.pid, 3)


def test_processes_that_come_and_go(interpreter: Python) -> None:
    """Read at any moment of their short lives: a report, or one of our errors, and never that they make no sense."""
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    chance = random.Random(interpreter.name)
    said = []
    for _ in range(6):
        with subprocess.Popen([interpreter.path, "-c", "pass"]) as process:
            time.sleep(chance.random() * 0.08)  # any moment is right
            try:
                lastwords.attach(process.pid)
            except TargetError as error:
                said.append(error.fact)
    assert not [fact for fact in said if "should" in fact or "could not be read" in fact]


# Who may not be read


def test_one_of_another_user(capfd: Output) -> None:
    with running([sys.executable, "-c", WAITS]) as target:
        target.wait_for("ready")
        capfd.readouterr()
        assert as_nobody(lambda: main(["attach", str(target.pid)])) == 4
        compare("other_user", capfd.readouterr().err, pid=target.pid, us=NOBODY)


def test_one_with_more_rights(capfd: Output) -> None:
    need(os.geteuid() == 0 and shutil.which("setpriv"), "root and setpriv")
    with running([sys.executable, "-c", WAITS]) as target:
        target.wait_for("ready")
        done = attach_with(["setpriv", "--securebits=+noroot", "--inh-caps=-all"], target.pid)
        rights = re.findall(r"\((0x[0-9a-f]+)\)", done.stderr)
        assert (done.returncode, len(rights)) == (4, 1), done.stderr
        compare("more_rights", done.stderr, pid=target.pid, rights=rights[0])


def test_from_a_user_namespace_of_our_own() -> None:
    namespace = ["unshare", "--user", "--map-root-user"]
    tried = subprocess.run(["sh", "-c", " ".join([*namespace, "true"])], capture_output=True, check=False)
    need(tried.returncode == 0, "unshare, and the right to make user namespaces")
    with running([sys.executable, "-c", WAITS]) as target:
        target.wait_for("ready")
        done = attach_with(namespace, target.pid)
        assert (done.returncode, done.stdout) == (4, "")
        compare("user_namespace", done.stderr, pid=target.pid)


def attach_with(before: list[str], pid: int, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, started by another one."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "tools")}
    command = [*before, sys.executable, "-m", "lastwords", "attach", str(pid), *options]
    return subprocess.run(
        command, capture_output=True, check=False, text=True, env=environment, stdin=subprocess.DEVNULL
    )


# What is read all the same


@pytest.fixture
def waiting() -> Iterator[Target]:
    with running([sys.executable, "-c", WAITS]) as target:
        target.wait_for("ready")
        wait_until(lambda: procfs.read_text(target.pid, "syscall").startswith("0 0x0 "), "it reads")
        yield target


def test_a_stopped_process_is_read_and_left_stopped(waiting: Target, capfd: Output) -> None:
    os.kill(waiting.pid, signal.SIGSTOP)
    wait_until(lambda: procfs.read_status(waiting.pid).state == "T", "it is stopped")
    report = read(capfd, waiting.pid)
    assert functions(report) == ["<module>"]
    assert report["threads"][0]["state"] == "stopped"
    assert report["processes"][0]["halt"]["how"] == "stopped"
    assert report["findings"] == []
    assert procfs.read_status(waiting.pid).state == "T"
    os.kill(waiting.pid, signal.SIGCONT)
    assert waiting.process.stdin is not None
    waiting.process.stdin.close()
    assert waiting.wait() == 0


def test_a_traced_process_is_read_without_a_stop(waiting: Target, capfd: Output) -> None:
    with traced(waiting.pid) as (_, tracer):
        report = read(capfd, waiting.pid, 5)
        assert functions(report) == ["<module>"]
        problem = f"it was not stopped, because process {tracer.pid} traces it already"
        assert problem in report["moments"][0]["capture"]["problems"]
        assert "healthy" not in {finding["code"] for finding in report["findings"]}
        assert report["processes"][0]["halt"] == {"how": "traced", "pid": tracer.pid, "file": None}
        assert procfs.read_status(waiting.pid).tracer_pid == tracer.pid


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that everybody may enter."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def libraries_of(python: Python) -> list[Path]:
    with running([python.path, "-c", WAITS]) as target:
        target.wait_for("ready")
        paths = {mapping.path for mapping in procfs.read_maps(target.pid)}
    return [Path(path) for path in paths if Path(path).name.startswith("libpython")]


def test_files_that_are_gone(interpreter: Python, directory: Path, capfd: Output) -> None:
    """A copy of the executable, and of its libpython: removed while it runs; then there are others in their places."""
    need(os.geteuid() != 0 or shutil.which("setpriv"), "setpriv")
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    files = [Path(os.path.realpath(interpreter.path)), *libraries_of(interpreter)]
    copies = [Path(shutil.copy(file, directory)) for file in files]
    home = subprocess.run(
        [interpreter.path, "-c", "import sys; sys.stdout.write(sys.prefix)"], capture_output=True, check=True, text=True
    ).stdout
    with running([copies[0], "-c", WAITS], env={"LD_LIBRARY_PATH": str(directory), "PYTHONHOME": home}) as target:
        target.wait_for("ready")
        assert {str(copy) for copy in copies} <= {mapping.path for mapping in procfs.read_maps(target.pid)}
        for copy in copies:
            copy.unlink()
        assert_read(read(capfd, target.pid), interpreter)
        for copy in copies:
            copy.write_bytes(b"\x7fELF\2\1" + bytes(8000))
        done = attach_with(WITHOUT_MAP_FILES if os.geteuid() == 0 else [], target.pid, "--json", "-")
        assert done.returncode == 0, done.stderr
        assert_read(json.loads(done.stdout), interpreter)


def assert_read(report: dict[str, Any], interpreter: Python) -> None:
    assert functions(report) == ["<module>"]
    assert report["processes"][0]["python"]["version"].startswith(".".join(map(str, interpreter.version)))
