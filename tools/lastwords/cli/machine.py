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
from lastwords.capture.permission import CAP_SYS_PTRACE, Tracee, Tracer
from lastwords.cli.surroundings import Gdb, find_drgn, find_gdb
from lastwords.errors import SetupError, TargetError

ROOT = Path("/")
MARKERS = {".dockerenv": "Docker", "run/.containerenv": "Podman", "run/systemd/container": "systemd"}
KUBERNETES = "var/run/secrets/kubernetes.io"
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
    """What holds for every process. `permitted` are our capabilities, `container` what kind we are in."""

    python: str
    executable: str
    gdb: Gdb | None
    drgn: str | None
    container: str | None


class Target(Tracee, frozen=True, kw_only=True):
    """A process. What is None could not be read."""

    name: str
    argv: tuple[str, ...]
    executable: str | None
    is_python: bool | None = None
    image: str | None = None
    debug_symbols: bool | None = None


class Interpreter(msgspec.Struct, frozen=True):
    """An interpreter that programs run on: its version, its hunter (None without), its debug symbols."""

    path: str
    version: str
    hunter: str | None
    image: str | None
    debug_symbols: bool | None


def read_machine(proc: Path = procfs.PROC, root: Path = ROOT) -> Machine:
    """The machine, as this process sees it."""
    status = procfs.read_fields(os.getpid(), proc)
    effective = int(status.get("CapEff", "0"), 16)
    return Machine(
        python=platform.python_version(),
        executable=sys.executable,
        gdb=find_gdb(),
        drgn=find_drgn(),
        ptrace_scope=procfs.read_ptrace_scope(proc),
        effective_uid=os.geteuid(),
        has_sys_ptrace=bool(effective & CAP_SYS_PTRACE),
        permitted=int(status.get("CapPrm", "0"), 16),
        seccomp=int(status.get("Seccomp", "0")),
        container=_find_container(root),
    )


def _find_container(root: Path) -> str | None:
    if (root / KUBERNETES).exists():
        return "Kubernetes"
    return next((kind for marker, kind in MARKERS.items() if (root / marker).exists()), None)


def read_target(pid: int, proc: Path = procfs.PROC) -> Target:
    """One process. Raises TargetError where there is none."""
    try:
        status, fields = procfs.read_status(pid, proc), procfs.read_fields(pid, proc)
        image, readable = _find_image(pid, proc)
        return Target(
            pid=pid,
            name=status.name,
            argv=tuple(procfs.read_cmdline(pid, proc)),
            executable=_executable(pid, proc),
            uid=status.uid,
            effective_uid=status.effective_uid,
            ppid=status.ppid,
            tracer_pid=status.tracer_pid,
            is_zombie=status.state == "Z",
            is_child=status.ppid == os.getpid(),
            permitted=int(fields.get("CapPrm", "0"), 16),
            other_user_namespace=_in_other_user_namespace(pid, proc),
            is_python=(image is not None) if readable else None,
            image=image.path if image else None,
            debug_symbols=has_debug_symbols(image) if image else None,
        )
    except procfs.ProcessGoneError as gone:
        raise TargetError(f"there is no process {pid}; it has ended, or the number is another's", "ps -e") from gone


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


def _in_other_user_namespace(pid: int, proc: Path) -> bool:
    """False where the kernel does not show it: another user's, and then the owner is the reason already."""
    try:
        ours, theirs = procfs.read_namespaces(os.getpid(), proc), procfs.read_namespaces(pid, proc)
    except PermissionError:
        return False
    return "user" in theirs and theirs["user"] != ours.get("user")


def has_debug_symbols(image: Image, root: Path = ROOT) -> bool:
    """Whether the file has DWARF, or a file of it lies where distributions put them (by its build-id)."""
    build_id = image.elf.build_id
    separate = root / "usr/lib/debug/.build-id" / f"{build_id[:2]}/{build_id[2:]}.debug" if build_id else None
    return image.elf.has_dwarf or (separate is not None and separate.exists())


def read_interpreter(path: str, proc: Path = procfs.PROC) -> Interpreter:
    """Starts the interpreter, asks it for its version and hunter, and looks at its file. Raises SetupError."""
    try:
        with subprocess.Popen([path, "-c", PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            deadline = threading.Timer(PROBE_SECONDS, child.kill)
            deadline.start()
            answer = child.stdout.readline().split()
            image = _find_image(child.pid, proc)[0] if answer else None
            deadline.cancel()
    except OSError as error:
        raise SetupError(f"cannot start {path}: {error.strerror}", "lastwords doctor -h") from error
    if len(answer) != 2:
        raise SetupError(f"{path} is no Python: it did not answer", "lastwords doctor -h")
    version, hunter = answer
    return Interpreter(
        path=path,
        version=version,
        hunter=None if hunter == "-" else hunter,
        image=image.path if image else None,
        debug_symbols=has_debug_symbols(image) if image else None,
    )
