"""The Python processes of this machine: found by what they have mapped, not by their names; none of them is stopped."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lastwords.capture import procfs
from lastwords.capture.elf import ROOTS, Image, open_image
from lastwords.capture.elf_tables import find_all
from lastwords.capture.kernel.kcmp import share_memory
from lastwords.capture.kernel.other_ends import read_namespace
from lastwords.capture.kernel.peers import list_pids
from lastwords.capture.memory import ReadError, open_process_memory
from lastwords.capture.permission import Obstacle, Tracee, Tracer, find_obstacles, make_tracee, read_rights
from lastwords.capture.procfs import PROC, ProcessGoneError
from lastwords.hexversion import format_version

PYPY_ROOTS = ("pypy_main_startup", "rpython_startup_code")
TEXTS_LIMIT = 64 << 20
NAMED_PYTHON = re.compile(r"(python|pypy)[\d.]*[a-z]?")
# /proc/PID/maps: "7f00-7f10 r-xp 00000000 fd:01 1234     /usr/bin/python3.11", of executable files alone
_CODE = re.compile(rb"^\S+ ..x. \S+ (\S+ [1-9]\d*) +(/.*)$", re.MULTILINE)
COOKIE = b"xdebugpy"
RELEASES = ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10")  # without `Py_Version`
_REST = re.compile(rb"\.(\d+(?:(?:a|b|rc)\d+)?)\+?\0")


class PythonProcess(msgspec.Struct, kw_only=True):
    """One Python process. implementation: "CPython", "PyPy", None where only its name says that it is a Python.

    version: "3.11.7", "3.8" where that is all its files tell, None where they do not or may not be read
    user: by name, or by number where that has none; threads: how many
    may_attach: whether `attach` can read it; obstacle: why not, or only without a stop; mend: the command that helps
    """

    pid: int
    ppid: int
    version: str | None
    implementation: str | None
    argv: list[str]
    executable: str | None
    threads: int
    user: str
    may_attach: bool
    obstacle: str | None = None
    mend: str | None = None


class Found(msgspec.Struct, frozen=True):
    """All of them by rising pid, and how many processes of others could not be looked at."""

    processes: list[PythonProcess]
    unseen: int


def find_python_processes(proc: Path = PROC) -> Found:
    """Looks at every process but this one."""
    ours, known = read_rights(proc, os.getpid()), _Files(proc)
    processes: list[PythonProcess] = []
    unseen = 0
    for pid in list_pids(proc):
        try:
            if pid != os.getpid() and (one := _look(pid, ours, known, proc)) is not None:
                processes.append(one)
        except (PermissionError, ReadError):
            unseen += 1
        except (OSError, ProcessGoneError, ValueError):  # it has ended
            continue
    return Found(processes, unseen)


def _look(pid: int, ours: Tracer, known: _Files, proc: Path) -> PythonProcess | None:
    """The process, None if it is no Python. Raises PermissionError where that cannot be seen."""
    way, argv = pid, procfs.read_cmdline(pid, proc)
    if not argv:
        way = procfs.find_way_in(pid, proc)
        argv = procfs.read_cmdline(way, proc) if way != pid else []
    if not argv:  # a kernel thread, a zombie
        return None
    try:
        kind = known.find_python(way)
        if kind is None:
            return None
    except PermissionError:
        if not NAMED_PYTHON.fullmatch(argv[0].rpartition("/")[2]):
            raise
        kind = _Kind(None, None)
    found = _describe(pid, argv, kind, ours, proc)
    return found if way == pid else replace(found, executable=_executable(way, proc))


def _describe(pid: int, argv: list[str], kind: _Kind, ours: Tracer, proc: Path) -> PythonProcess:
    status = procfs.read_status(pid, proc)
    obstacle = _find_obstacle(kind, ours, make_tracee(pid, status, proc)) or _find_owner(pid, status.ppid, proc)
    note = obstacle
    if obstacle is None and status.tracer_pid:
        fact = f"process {status.tracer_pid} traces it already, so it is read without being stopped"
        note = Obstacle(fact, f"ps -o pid,args -p {status.tracer_pid}")
    return PythonProcess(
        pid=pid,
        ppid=status.ppid,
        version=kind.version,
        implementation=kind.implementation,
        argv=argv,
        executable=_executable(pid, proc),
        threads=status.threads,
        user=str(status.uid) if _has_other_users(pid, proc) else _name_user(status.uid),
        may_attach=obstacle is None,
        obstacle=note.fact if note else None,
        mend=note.mend if note else None,
    )


def _find_obstacle(kind: _Kind, ours: Tracer, tracee: Tracee) -> Obstacle | None:
    """Why `attach` would fail. That somebody else traces it is no reason: it can be read all the same."""
    obstacle = next(find_obstacles(ours, replace(tracee, tracer_pid=0)), None)
    if obstacle is None and kind.implementation is None:
        fact = "the kernel does not show why (a security module, a process that is not dumpable)"
        return Obstacle(fact, f"sudo lastwords doctor {tracee.pid}")
    if obstacle is None and (kind.implementation == "PyPy" or kind.free_threaded):
        name = "PyPy" if kind.implementation == "PyPy" else "a free-threaded CPython"
        return Obstacle(f"it is {name}; lastwords reads CPython with a GIL alone", f"gdb -p {tracee.pid}")
    return obstacle


def _find_owner(pid: int, parent: int, proc: Path) -> Obstacle | None:
    """Whose memory it has: its parent's, as a child of vfork(2) has, and any that was cloned with CLONE_VM."""
    if not parent or proc != PROC or not share_memory(pid, parent):
        return None
    fact = f"it has the memory of its parent, process {parent}, until it executes a program (vfork)"
    return Obstacle(fact, f"lastwords attach {parent}")


def _executable(pid: int, proc: Path) -> str | None:
    try:
        return procfs.read_link(pid, "exe", proc)
    except OSError:
        return None


def _has_other_users(pid: int, proc: Path) -> bool:
    """Whether it is known to have other mounts than we, a container's: there the number may have another name."""
    theirs, ours = read_namespace(pid, "mnt", proc), read_namespace("self", "mnt", proc)
    return None not in {theirs, ours} and theirs != ours


@cache
def _name_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class _Kind(msgspec.Struct, frozen=True):
    """Which Python a file holds."""

    implementation: str | None
    version: str | None
    free_threaded: bool = False


class _Files:
    """The files that processes have mapped; each is opened once, however many processes have it."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._known: dict[tuple[bytes, bytes], _Kind | None] = {}

    def find_python(self, pid: int) -> _Kind | None:
        """The Python that a process has mapped. Raises PermissionError, ProcessGoneError."""
        text = procfs.read_bytes(pid, "maps", self._proc)
        files = sorted(set(_CODE.findall(text)), key=lambda file: not _is_named_python(file[1]))
        for file in files:
            if file not in self._known:
                image = self._open(pid, text, file[1])
                if image is None:  # another process may show it
                    continue
                self._known[file] = _kind_of(image, pid)
            kind = self._known[file]
            if kind is not None:
                return kind
        return None

    def _open(self, pid: int, text: bytes, path: bytes) -> Image | None:
        lines = b"\n".join(line for line in text.split(b"\n") if line.endswith(b" " + path))
        maps = procfs.parse_maps(os.fsdecode(lines))
        return open_image(pid, maps, os.fsdecode(path).replace("\\012", "\n"), self._proc, open_process_memory(pid))


def _is_named_python(path: bytes) -> bool:
    return path.rpartition(b"/")[2].startswith((b"libpython", b"python"))


def _kind_of(image: Image, pid: int) -> _Kind | None:
    if any(name in image.elf.symbols for name in ROOTS):
        return _Kind("CPython", _find_version(image, pid), _is_free_threaded(image))
    return _Kind("PyPy", None) if any(name in image.elf.symbols for name in PYPY_ROOTS) else None


def _is_free_threaded(image: Image) -> bool:
    """What `_Py_DebugOffsets` says, with which `_PyRuntime` begins from 3.13 on: cookie, version, free_threaded."""
    address = image.elf.symbols.get("_PyRuntime")
    try:
        data = _read_file(image, address, 24) if address is not None else None
    except OSError:
        return False
    return data is not None and data.startswith(COOKIE) and data[16:] != bytes(8)


def _find_version(image: Image, pid: int) -> str | None:
    """`Py_Version` (3.11 on) out of the file, or out of memory where there is none; else the text of PY_VERSION."""
    address = image.elf.symbols.get("Py_Version")
    minor = re.match(r"libpython(\d\.\d+)", image.elf.soname or "")
    try:
        if address is None:
            return _find_version_text(image, minor.group(1) if minor else None)
        data = _read_file(image, address, 8) or open_process_memory(pid).read(address + image.bias, 8)
        return format_version(int.from_bytes(data, "little"))
    except (OSError, ReadError):
        return minor.group(1) if minor else None


def _read_file(image: Image, address: int, size: int) -> bytes | None:
    """Bytes of the file that are mapped at one of its addresses; None where there is no file any more."""
    for segment in image.elf.segments if image.file is not None else ():
        if segment.address <= address < segment.address + segment.size and image.file is not None:
            with image.file.open("rb") as file:
                file.seek(segment.offset + address - segment.address)
                return file.read(size)
    return None


def _find_version_text(image: Image, release: str | None) -> str | None:
    """The one version among the texts of the file, of the release of its SONAME, or of any; else that release.

    It is PY_VERSION, perhaps as the end of another text: linkers merge them.
    """
    address, size = image.elf.sections.get(".rodata", (0, 0))
    texts = (_read_file(image, address, size) if size <= TEXTS_LIMIT else None) or b""
    found = {text for one in RELEASES if release in (None, one) for text in _versions_of(one, texts)}
    return found.pop() if len(found) == 1 else release


def _versions_of(release: str, texts: bytes) -> Iterator[str]:
    wanted = release.encode()
    for at in find_all(texts, wanted):
        rest = _REST.match(texts, at + len(wanted))
        if rest and texts[at - 1 : at] not in b".0123456789":
            yield f"{release}.{rest[1].decode()}"
