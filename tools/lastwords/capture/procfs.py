"""What the kernel says about a process: small readers over `/proc`, or over a recorded copy of it.

Each raises ProcessGoneError where the process has no directory there, and OSError where the kernel refuses.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

PROC = Path("/proc")
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts")
ENDED = ("Z", "X")  # states of a process or a thread
LINE_LIMIT = 200_000  # lines of maps; the kernel's own limit on mappings is 65,530


class ProcessGoneError(Exception):
    """There is no process with this pid."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"there is no process {pid}")
        self.pid = pid


class Mapping(msgspec.Struct, frozen=True):
    """A line of `/proc/PID/maps`: [start, end), permissions ("r-xp"), and the file behind it ("" for none)."""

    start: int
    end: int
    permissions: str
    offset: int
    device: int
    inode: int
    path: str

    @property
    def is_deleted(self) -> bool:
        """Whether the file that is mapped has no name any more: removed or replaced on disk."""
        return self.path.endswith(" (deleted)")


class Status(msgspec.Struct, frozen=True):
    """Fields of `/proc/PID/status`.

    leader: the pid of the process that it is a thread of, mostly its own
    ns_pids: the pid in each pid namespace, the outermost first; permitted: its capabilities
    """

    name: str
    state: str
    ppid: int
    tracer_pid: int
    uid: int
    effective_uid: int
    ns_pids: tuple[int, ...]
    threads: int
    permitted: int
    leader: int


def read_text(pid: int, name: str, proc: Path = PROC) -> str:
    """The text of `/proc/PID/name`; bytes that are no UTF-8 come as surrogates, like file names do."""
    return os.fsdecode(read_bytes(pid, name, proc))


def read_bytes(pid: int, name: str, proc: Path = PROC) -> bytes:
    """The bytes of `/proc/PID/name`."""
    try:
        return read_file(f"{proc}/{pid}/{name}")
    except (FileNotFoundError, ProcessLookupError):
        if (proc / str(pid)).exists():
            raise
        raise ProcessGoneError(pid) from None


def read_file(path: str) -> bytes:
    """All of a file. A Path would take as long as the reading of it, and these are read by the hundred."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return file.read()


def read_fields(pid: int, proc: Path = PROC) -> dict[str, str]:
    """`/proc/PID/status`, whole: name -> value."""
    lines = (line.partition(":") for line in read_text(pid, "status", proc).splitlines())
    return {name: value.strip() for name, _, value in lines}


def read_status(pid: int, proc: Path = PROC) -> Status:
    """What `/proc/PID/status` says."""
    fields = read_fields(pid, proc)
    uids = fields.get("Uid", "").split()
    return Status(
        name=fields.get("Name", ""),
        state=fields.get("State", "")[:1],
        ppid=int(fields.get("PPid", 0)),
        tracer_pid=int(fields.get("TracerPid", 0)),
        uid=int(uids[0]) if uids else -1,
        effective_uid=int(uids[1]) if uids else -1,
        ns_pids=tuple(int(number) for number in fields.get("NSpid", str(pid)).split()),
        threads=int(fields.get("Threads", 0)),
        permitted=int(fields.get("CapPrm", "0"), 16),
        leader=int(fields.get("Tgid", pid)),
    )


class TaskCall(msgspec.Struct, frozen=True):
    """`/proc/PID/task/TID/syscall` of a thread that does not run: `number` None where it is in no system call."""

    number: int | None
    arguments: tuple[int, ...]
    sp: int
    pc: int


def read_task_stat(pid: int, tid: int, proc: Path = PROC) -> tuple[str, str]:
    """A thread's name (`comm`) and the letter of its state. Raises OSError where it has ended."""
    before, _, after = read_text(pid, f"task/{tid}/stat", proc).rpartition(")")
    return before.partition("(")[2], after.strip()[:1]


def read_task_call(pid: int, tid: int, proc: Path = PROC) -> TaskCall | None:
    """The system call that a thread waits in; None while it runs. Raises OSError where it has ended."""
    number, *words = read_text(pid, f"task/{tid}/syscall", proc).split()
    if len(words) < 2:  # "running"
        return None
    *arguments, sp, pc = (int(word, 16) for word in words)
    return TaskCall(int(number) if number != "-1" else None, tuple(arguments), sp, pc)


def read_task_switches(pid: int, tid: int, proc: Path = PROC) -> int:
    """How often a thread has left a processor so far. Raises OSError where it has ended."""
    text = read_text(pid, f"task/{tid}/status", proc)
    return sum(int(count) for count in re.findall(r"ctxt_switches:\s+(\d+)", text))


_MAPS_LINE = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<permissions>\S{4}) (?P<offset>[0-9a-f]+)"
    r" (?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+) (?P<inode>\d+) *(?P<path>.*)"
)


def read_maps(pid: int, proc: Path = PROC) -> list[Mapping]:
    """The mappings of a process, by rising address. Empty for a zombie and for a kernel thread."""
    return parse_maps(read_text(pid, "maps", proc))


def parse_maps(text: str) -> list[Mapping]:
    """The mappings in the text of `/proc/PID/maps`."""
    lines = text.split("\n")[:LINE_LIMIT]
    return [_parse_mapping(found) for line in lines if (found := _MAPS_LINE.fullmatch(line))]


def _parse_mapping(found: re.Match[str]) -> Mapping:
    start, end, permissions, offset, major, minor, inode, path = found.groups()
    return Mapping(
        start=int(start, 16),
        end=int(end, 16),
        permissions=permissions,
        offset=int(offset, 16),
        device=os.makedev(int(major, 16), int(minor, 16)),
        inode=int(inode),
        path=path.replace("\\012", "\n"),
    )


def read_tasks(pid: int, proc: Path = PROC) -> list[int]:
    """The kernel's ids of the threads of a process, rising."""
    try:
        return sorted(int(entry.name) for entry in (proc / str(pid) / "task").iterdir())
    except FileNotFoundError:
        raise ProcessGoneError(pid) from None


def find_way_in(pid: int, proc: Path = PROC) -> int:
    """By which number /proc and the kernel show the memory of a process: its own, mostly.

    Not where its main thread has ended before others (pthread_exit): then it is that of the first that lives.
    """
    if read_status(pid, proc).state not in ENDED:
        return pid
    try:
        return next((tid for tid in read_tasks(pid, proc) if _lives(pid, tid, proc)), pid)
    except (OSError, ProcessGoneError):
        return pid


def _lives(pid: int, tid: int, proc: Path) -> bool:
    try:
        return read_task_stat(pid, tid, proc)[1] not in ENDED
    except (OSError, ProcessGoneError):
        return False


def read_namespaces(pid: int, proc: Path = PROC) -> dict[str, str]:
    """Namespace by kind: {"pid": "pid:[4026531836]"}; those that the kernel does not show are left out."""
    directory = proc / str(pid) / "ns"
    try:
        return dict(_read_links(directory, _list(directory)))
    except PermissionError:  # of another user, for a root without CAP_DAC_READ_SEARCH: links, but no list of them
        return dict(_read_links(directory, NAMESPACES))
    except FileNotFoundError:
        raise ProcessGoneError(pid) from None


def read_fds(pid: int, proc: Path = PROC) -> dict[int, str]:
    """What each open descriptor is, by number: "/dev/null", "socket:[1234]", "pipe:[99]"."""
    directory = proc / str(pid) / "fd"
    try:
        return {int(name): target for name, target in _read_links(directory, _list(directory))}
    except FileNotFoundError:
        raise ProcessGoneError(pid) from None


def _list(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def _read_links(directory: Path, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, os.readlink(f"{directory}/{name}")  # noqa: PTH115
        except OSError:  # closed in between, or not to be seen
            continue


def read_link(pid: int, name: str, proc: Path = PROC) -> str:
    """Where `/proc/PID/exe`, `cwd` or `root` points; "... (deleted)" where that is gone."""
    try:
        return str((proc / str(pid) / name).readlink())
    except FileNotFoundError:
        if (proc / str(pid)).exists():  # a kernel thread or a zombie has no exe
            raise
        raise ProcessGoneError(pid) from None


def read_auxv(pid: int, proc: Path = PROC) -> bytes:
    """The auxiliary vector that the kernel gave its program; empty where it has ended or is not shown."""
    try:
        return read_bytes(pid, "auxv", proc)
    except (OSError, ProcessGoneError):
        return b""


def read_cmdline(pid: int, proc: Path = PROC) -> list[str]:
    """argv as it stands in the process's memory now."""
    data = read_bytes(pid, "cmdline", proc)
    return [os.fsdecode(part) for part in data.removesuffix(b"\0").split(b"\0")] if data else []


def read_start_time(pid: int, proc: Path = PROC) -> float:
    """When the process was started (forked), in seconds of the epoch; good to 10 ms while the clock is not set."""
    after_name = read_text(read_status(pid, proc).leader, "stat", proc).rpartition(")")[2].split()
    ticks = int(after_name[19])  # field 22, starttime, counted from boot
    since_boot = ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot


def read_ptrace_scope(proc: Path = PROC) -> int | None:
    """yama's ptrace_scope: 0 own processes, 1 own children, 2 root only, 3 nobody; None without yama."""
    try:
        return int((proc / "sys/kernel/yama/ptrace_scope").read_text())
    except FileNotFoundError:
        return None
