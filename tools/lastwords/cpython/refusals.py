"""Why a process cannot be read as CPython: the fact with its value, what follows, and the command to paste."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from lastwords.capture import elf, procfs
from lastwords.capture.elf_tables import ElfError, ElfTables
from lastwords.capture.kernel.kcmp import share_memory
from lastwords.capture.machine.elsewhere import (
    SHOWN,
    find_inside,
    format_attach,
    format_attach_as,
    is_contained,
    read_own_namespaces,
)
from lastwords.capture.memory import Memory
from lastwords.capture.permission import Tracee, find_obstacles, read_rights, read_tracee
from lastwords.errors import LastwordsError, SetupError, TargetError

SUPPORTED = "CPython 2.7 and 3.6 to 3.15"
PYPY_ROOTS = ("rpython_startup_code", "pypy_main_startup")
ELF_32 = b"\x7fELF\x01"
LIST = "lastwords ps"
NOBODY_MAY = 3  # yama's ptrace_scope
PF_KTHREAD = 0x00200000  # include/linux/sched.h; in the flags of /proc/PID/stat


class NotPythonError(TargetError):
    """The process runs another program."""


def explain_gone(pid: int, proc: Path = procfs.PROC) -> TargetError:
    """No such process, here: pid namespaces number their processes each for itself."""
    ours = read_own_namespaces(proc)
    if ours is None or ours.sees_machine:
        inside = list(islice(find_inside(pid, proc), SHOWN))
        if not inside:
            return TargetError(f"There is no process {pid}.", LIST)
        fact = f"There is no process {pid} here; in a container one calls itself {pid}."
        return TargetError(fact, "\n".join(f"lastwords attach {number}    # {name}" for number, name in inside))
    fact = f"There is no process {pid} among the {ours.processes} of this"
    if not ours.began_here:
        return TargetError(f"{fact} pid namespace.", LIST)
    fact += " container, which has a pid namespace of its own."
    return TargetError(fact, f"{format_attach(1, proc)}    # in that of NAME")


def refuse_ourselves(pid: int, proc: Path = procfs.PROC) -> None:
    """Raises TargetError where `pid` is the command itself, as the first process of a container of its own is."""
    if pid == os.getpid():
        fact = f"Process {pid} is lastwords itself"
        if pid == 1:
            where = "it is the first process of this container, which has a pid namespace of its own"
            raise TargetError(f"{fact}: {where}.", f"{format_attach(1, proc)}    # in that of NAME")
        raise TargetError(f"{fact}.", LIST)


def refuse_thread(pid: int, proc: Path = procfs.PROC) -> None:
    """Raises TargetError where `pid` is a thread, or a child of vfork(2) that still runs in its parent's memory.

    /proc has directories for threads too, but does not list them.
    """
    status = procfs.read_status(pid, proc)
    if status.leader != pid and procfs.find_way_in(status.leader, proc) != pid:
        raise TargetError(f"{pid} is a thread of process {status.leader}.", f"lastwords attach {status.leader}")
    if status.ppid and proc == procfs.PROC and share_memory(pid, status.ppid):
        fact = (
            f"Process {pid} is just starting: it has the memory of its parent, process {status.ppid}, until it executes"
        )
        raise TargetError(f"{fact} a program (vfork).", f"lastwords attach {pid}    # again, in a moment")


def explain_no_python(
    pid: int, maps: Sequence[procfs.Mapping], proc: Path = procfs.PROC, memory: Memory | None = None
) -> TargetError:
    """What a process is in which no CPython was found.

    Raises PermissionError or ReadError where that cannot be told: a file of it is not to be had, nor its memory.
    """
    if not maps:
        return explain_no_memory(pid, proc)
    try:
        name = f"Process {pid} ({procfs.read_link(pid, 'exe', proc)})"
    except FileNotFoundError:
        return explain_no_memory(pid, proc)
    if _is_32_bit(pid, proc):
        return TargetError(f"{name} is a 32-bit program; lastwords reads 64-bit ones only.", _c_stack(pid))
    if elf.find_image(pid, maps, PYPY_ROOTS, proc):
        return TargetError(f"{name} is PyPy; lastwords reads {SUPPORTED} only.", _c_stack(pid))
    library = _find_missing_library(pid, maps, proc)
    if library is not None:
        fact = f"{name} is just starting: it has not loaded {library} yet."
        return TargetError(fact, f"lastwords attach {pid}    # again, in a moment")
    _check_that_all_were_looked_at(pid, maps, proc, memory)
    files = {mapping.path for mapping in maps if mapping.path.startswith("/")}
    fact = f"{name} is not Python: none of its {len(files)} mapped files holds CPython."
    ours = read_own_namespaces(proc)
    is_our_own = pid == 1 and ours is not None and ours.began_here and not ours.sees_machine
    elsewhere = f"{format_attach(1, proc)}    # is it in another container?"
    child = f"lastwords attach --tree {pid}    # is it one of its children?"
    return NotPythonError(fact, elsewhere if is_our_own else child)


def _c_stack(pid: int) -> str:
    return f"gdb -p {pid} -batch -ex 'thread apply all bt'    # its C stack at least"


def _is_32_bit(pid: int, proc: Path) -> bool:
    try:
        with (proc / str(pid) / "exe").open("rb") as file:
            return file.read(len(ELF_32)) == ELF_32
    except OSError:
        return False


def _find_missing_library(pid: int, maps: Sequence[procfs.Mapping], proc: Path) -> str | None:
    """The libpython that the executable needs and that the loader has not mapped yet."""
    try:
        with (proc / str(pid) / "exe").open("rb") as file:
            needed = [name for name in ElfTables(file).needed() if name.startswith("libpython")]
    except (OSError, ElfError):
        return None
    return needed[0] if needed and not any("/libpython" in mapping.path for mapping in maps) else None


def _check_that_all_were_looked_at(pid: int, maps: Sequence[procfs.Mapping], proc: Path, memory: Memory | None) -> None:
    """Raises ReadError where a file of the process is not to be had any more, and its memory may not be read."""
    for mapping in maps:
        if memory is not None and elf.is_code_file(mapping) and elf.open_mapped(pid, mapping, proc) is None:
            memory.read(mapping.start, 1)


def explain_no_memory(pid: int, proc: Path = procfs.PROC) -> TargetError:
    """A zombie, a kernel thread, or a process that is just ending: nothing is mapped in them."""
    status = procfs.read_status(pid, proc)
    if procfs.find_way_in(pid, proc) != pid:
        fact = f"Process {pid} changed while it was read: its main thread has ended, others run on."
        return TargetError(fact, f"lastwords attach {pid}    # again")
    if status.state in procfs.ENDED:
        what = "is a zombie: it has ended, and only its exit status is left for its parent"
        return TargetError(f"Process {pid} {what} {status.ppid}.", f"ps -o pid,stat,args -p {status.ppid}")
    flags = int(procfs.read_text(pid, "stat", proc).rpartition(")")[2].split()[6])
    if flags & PF_KTHREAD:
        return TargetError(f"Process {pid} ({status.name}) has no memory of its own: it is a kernel thread.", LIST)
    return _explain_ended(pid)


def _explain_ended(pid: int) -> TargetError:
    return TargetError(f"Process {pid} ended while it was read.", LIST)


def explain_no_interpreter(pid: int | None) -> TargetError:
    """CPython is there, but no interpreter of it."""
    name = f"Process {pid}" if pid is not None else "The target"
    fact = f"{name} has no Python interpreter: it is just starting, or has finished Python and runs only C code."
    return TargetError(fact, f"lastwords attach {pid}    # again, in a moment\n{_c_stack(pid)}" if pid else "")


def explain_end(pid: int, proc: Path = procfs.PROC) -> TargetError | None:
    """What is to be said of a process that has ended, or has lost its memory on its way there; None while it lives."""
    try:
        return explain_no_memory(pid, proc) if not procfs.read_bytes(pid, "maps", proc) else None
    except PermissionError:
        return None
    except procfs.ProcessGoneError:
        return _explain_ended(pid)


def explain_refusal(pid: int, error: Exception, proc: Path = procfs.PROC) -> LastwordsError:
    """Why the memory of a process is not to be had: gone, another user's, yama, or not what it seemed."""
    ended = explain_end(pid, proc)
    if ended is not None:
        return ended
    if isinstance(error, PermissionError) or "not permitted" in str(error):
        return _explain_permission(pid, proc)
    return TargetError(f"Process {pid} could not be read as CPython: {error}.", f"lastwords doctor {pid}")


def _explain_unseen(pid: int, tracee: Tracee, proc: Path) -> str:
    """What is in no file: proc(5), /proc/PID/maps is root's where the process is not dumpable."""
    try:
        owner = (proc / str(pid) / "maps").stat().st_uid
    except OSError:
        owner = tracee.effective_uid
    if owner != tracee.effective_uid and owner == 0:
        return "it is not dumpable: it has changed its user, or has asked for that (PR_SET_DUMPABLE)"
    return "the kernel does not show why (a security module, for one)"


def _explain_permission(pid: int, proc: Path) -> SetupError:
    """The first reason that the kernel has; that somebody else traces it keeps nobody from reading."""
    tracee = replace(read_tracee(pid, proc), tracer_pid=0)
    rights, ours = read_rights(proc, os.getpid()), read_own_namespaces(proc)
    obstacle = next(find_obstacles(rights, tracee), None)
    fact = obstacle.fact if obstacle else _explain_unseen(pid, tracee, proc)
    mend = f"sudo lastwords attach {pid}"
    if ours is not None and not ours.is_first_user and (obstacle is None or tracee.other_user_namespace):
        fact = "lastwords is in a user namespace of its own, where capabilities count for what is inside alone"
        mend += "    # outside"
    elif is_contained(proc) and not rights.has_sys_ptrace and (rights.ptrace_scope or 0) < NOBODY_MAY:
        mend = "\n".join(filter(None, (format_attach(pid, proc), format_attach_as(tracee, proc))))
    elif obstacle is not None and "doctor" not in obstacle.mend:
        mend = obstacle.mend
    return SetupError(f"The memory of process {pid} may not be read: {fact}.", mend)
