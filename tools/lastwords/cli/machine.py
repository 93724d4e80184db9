"""The facts that `doctor` judges: this machine, one process, one interpreter. Read from /proc, or a copy of it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import msgspec

from lastwords.capture import procfs
from lastwords.capture.elf import Image, find_python_image
from lastwords.capture.machine.capabilities import SYS_PTRACE, Rights, read_rights
from lastwords.capture.machine.container import Container, find_container
from lastwords.capture.machine.core_pattern import CoreSettings, read_core_settings
from lastwords.capture.machine.namespaces import Namespaces, read_namespaces
from lastwords.capture.machine.symbols import Symbols, read_symbols
from lastwords.capture.machine.tried import Access, try_access, try_calls, try_files
from lastwords.capture.permission import Tracee, Tracer, read_tracee
from lastwords.cli.surroundings import Drgn, Gdb, find_drgn, find_gdb
from lastwords.errors import SetupError, TargetError

ROOT = Path("/")
PROBE_SECONDS = 20
PROBE = """\
import sys
try:
    import hunter
    found = hunter.__version__
except ImportError:
    found = '-'
sys.stdout.write('%d.%d.%d %s\\n' % (sys.version_info[:3] + (found,)))
sys.stdout.flush()
sys.stdin.read()
"""


class Machine(Tracer, frozen=True, kw_only=True):
    """What holds for every process.

    calls: by system call that `attach` needs, the error that the kernel answers, None where it may be made
    servers: DEBUGINFOD_URLS, None where it is not set
    """

    python: str
    executable: str
    gdb: Gdb | None
    drgn: Drgn
    rights: Rights
    namespaces: Namespaces
    calls: dict[str, str | None]
    container: Container | None
    cores: CoreSettings
    servers: str | None


class Target(Tracee, frozen=True, kw_only=True):
    """A process. What is None could not be read.

    ns_pids: its pid in each pid namespace, ours first
    closed: files of its /proc directory that `attach` would read and that may not be opened
    """

    name: str
    argv: tuple[str, ...]
    executable: str | None
    ns_pids: tuple[int, ...]
    access: Access
    closed: tuple[str, ...]
    label: str | None
    container: Container | None
    cores: CoreSettings
    is_python: bool | None = None
    symbols: Symbols | None = None


class Interpreter(msgspec.Struct, frozen=True):
    """An interpreter that programs run on: its version, its hunter (None without), its debug symbols."""

    path: str
    version: str
    hunter: str | None
    symbols: Symbols | None


def read_machine(proc: Path = procfs.PROC, root: Path = ROOT) -> Machine:
    """The machine, as this process sees it."""
    pid = os.getpid()
    rights = read_rights(pid, proc)
    return Machine(
        python=platform.python_version(),
        executable=sys.executable,
        gdb=find_gdb(),
        drgn=find_drgn(),
        ptrace_scope=procfs.read_ptrace_scope(proc),
        effective_uid=os.geteuid(),
        has_sys_ptrace=bool(rights.effective & SYS_PTRACE),
        permitted=rights.permitted,
        seccomp=rights.seccomp,
        rights=rights,
        namespaces=read_namespaces(pid, proc),
        calls=try_calls(),
        container=find_container(pid, proc, root),
        cores=read_core_settings(pid, proc),
        servers=os.environ.get("DEBUGINFOD_URLS") or None,
    )


def read_target(pid: int, proc: Path = procfs.PROC) -> Target:
    """One process. Raises TargetError where there is none."""
    try:
        return _read_target(pid, proc)
    except procfs.ProcessGoneError as gone:
        raise _explain_gone(pid, proc) from gone


def _explain_gone(pid: int, proc: Path) -> TargetError:
    fact = f"there is no process {pid}; it has ended, or the number is another's"
    ours = read_namespaces(os.getpid(), proc)
    if ours.sees_machine:
        return TargetError(fact, "ps -e")
    seen = f"this pid namespace has numbers of its own; in use are {ours.processes}"
    return TargetError(f"{fact} ({seen})", "docker run --rm --pid=container:NAME --cap-add=SYS_PTRACE lastwords ps")


def _read_target(pid: int, proc: Path) -> Target:
    status = procfs.read_status(pid, proc)
    way = procfs.find_way_in(pid, proc)
    image, readable = _find_image(way, proc)
    tracee = read_tracee(pid, proc, is_child=status.ppid == os.getpid())
    return Target(
        **msgspec.structs.asdict(tracee),
        name=status.name,
        argv=tuple(procfs.read_cmdline(way, proc)),
        executable=_executable(way, proc),
        ns_pids=status.ns_pids,
        access=try_access(way, proc),
        closed=try_files(way, proc),
        label=read_rights(way, proc).label,
        container=find_container(way, proc),
        cores=read_core_settings(way, proc),
        is_python=(image is not None) if readable else None,
        symbols=_read_symbols(image, way, proc),
    )


def _read_symbols(image: Image | None, pid: int, proc: Path) -> Symbols | None:
    return read_symbols(image.path, image.elf, proc / str(pid)) if image else None


def _find_image(pid: int, proc: Path) -> tuple[Image | None, bool]:
    """The CPython in it, and whether its memory map could be read at all."""
    try:
        return find_python_image(pid, procfs.read_maps(pid, proc), proc), True
    except PermissionError:
        return None, False


def _executable(pid: int, proc: Path) -> str | None:
    try:
        return procfs.read_link(pid, "exe", proc)
    except OSError:
        return None


def read_interpreter(path: str, proc: Path = procfs.PROC) -> Interpreter:
    """Starts the interpreter, asks it for its version and hunter, and looks at its file. Raises SetupError."""
    try:
        with subprocess.Popen([path, "-c", PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            deadline = threading.Timer(PROBE_SECONDS, child.kill)
            deadline.start()
            answer = child.stdout.readline().split()
            symbols = _read_symbols(_find_image(child.pid, proc)[0], child.pid, proc) if answer else None
            deadline.cancel()
    except OSError as error:
        raise SetupError(f"cannot start {path}: {error.strerror}", "lastwords doctor -h") from error
    if len(answer) != 2:
        raise SetupError(f"{path} is no Python: it did not answer", "lastwords doctor -h")
    version, hunter = answer
    return Interpreter(path=path, version=version, hunter=None if hunter == "-" else hunter, symbols=symbols)
