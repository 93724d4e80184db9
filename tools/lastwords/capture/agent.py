"""The channel to the agent: how it gets into a program, and what it told.

The agent (`lastwords/agent/`) is found as `sitecustomize` in an archive that is first on PYTHONPATH: a memfd, so
that no interpreter leaves a .pyc anywhere. Its records go into another memfd: a file never blocks the program
and outlives us.

    with Channel() as channel:
        child = launch(program, channel.environ(os.environ), keep_fds=channel.fds)
        ...
        add_to(report, channel.read())
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import resource
import struct
import zipfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Self

from lastwords.capture.agent_records import ProcessId, Said, default_process_id, read_records
from lastwords.model import Process, Python, Report

ORDERS = "LASTWORDS_AGENT"
FILES = ("sitecustomize.py", "values.py", "imports.py", "monkey.py", "threads.py", "shutdown.py")
SILENT = "it did not start: not Python, or a Python that leaves PYTHONPATH or site out (-I, -E, -S)"
SILENT_CHILD = "it said nothing: a child that was forked has it, one that executed another program has not"
HIGHEST_FD, LOWEST_FD = 4096, 10
_UTF8_NAME = 0x800  # zip's flag; without it CPython 3.6 and 3.7 import encodings.cp437 to read the name


class Channel:
    """Two descriptors that the program inherits: `records`, which the agent writes, and the agent itself."""

    def __init__(self) -> None:
        self.records = _high_memfd("lastwords-records")
        self.archive = _high_memfd("lastwords-agent")
        self.hunter = hunter_directory(os.environ)
        _write_all(self.archive, agent_archive())

    @property
    def fds(self) -> tuple[int, int]:
        """What the program must inherit under the same numbers."""
        return self.records, self.archive

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The program's environment with the agent in it."""
        self.hunter = hunter_directory(environ)
        return agent_environ(environ, self.records, self.archive, self.hunter)

    def read(self, process_id: ProcessId = default_process_id) -> Said:
        """All that agents have written so far; may be called again while the program runs.

        `process_id` gives the report's id of the process with this pid.
        """
        size = os.fstat(self.records).st_size
        return read_records(os.pread(self.records, size, 0), process_id, self.hunter)

    def close(self) -> None:
        """Close our ends; those of the program stay."""
        for fd in self.fds:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def hunter_directory(environ: Mapping[str, str]) -> Path:
    """Where hunter is looked for first, by Python version (`DIR/3.12`): LASTWORDS_HUNTER, or beside the user's data.

    Installed as usual, hunter puts a `hunter.pth` beside it that imports hunter, and so `threading`, at each start
    of that Python: that alone makes the bug that is looked for. A directory of its own has no such effect.
    """
    given = environ.get("LASTWORDS_HUNTER")
    data = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME") or "/nonexistent", ".local/share"))
    return Path(given) if given else Path(data, "lastwords", "hunter")


def agent_environ(environ: Mapping[str, str], records: int, archive: int, hunter: Path) -> dict[str, str]:
    """`environ` with the archive first on PYTHONPATH and the agent's orders. Both are undone by the agent."""
    changed = dict(environ)
    path = environ.get("PYTHONPATH")
    ours = f"/proc/self/fd/{archive}"
    changed["PYTHONPATH"] = f"{ours}:{path}" if path else ours
    state = "absent" if path is None else "given" if path else "empty"
    changed[ORDERS] = f"fd={records} zip={archive} path={state} hunter={hunter}"
    return changed


def add_to(report: Report, said: Said) -> None:
    """Put what agents said into the report, and into its processes what is known of them.

    A process that is not in the report yet (a forked child) gets a record of its own.
    """
    known = {process.pid for process in report.processes}
    for pid in sorted(said.spoke - known):
        report.processes.append(Process(id=said.process_id(pid), pid=pid))
    pids = {process.pid for process in report.processes}
    for process in report.processes:
        _add_to_process(process, said, SILENT_CHILD if process.ppid in pids else SILENT)
    report.imports.watched += said.imports.watched
    report.imports.patches += said.imports.patches
    report.exceptions += said.exceptions
    report.trace += said.trace
    report.problems += said.problems + said.untraced


def _add_to_process(process: Process, said: Said, silent: str) -> None:
    process.libraries |= said.libraries.get(process.pid, {})
    hello = said.hellos.get(process.pid)
    if hello is not None:
        process.ppid = process.ppid or hello.ppid
        process.executable = process.executable or hello.executable
        process.cwd = process.cwd or hello.cwd
        process.python = process.python or Python()
        process.python.version = process.python.version or hello.version.split()[0]
        process.python.implementation = process.python.implementation or hello.implementation
        process.agent = "it spoke"
    elif process.pid in said.spoke:
        process.agent = "it spoke (the process was forked from one that has it)"
    else:
        process.agent = silent


def agent_archive() -> bytes:
    """The agent's files as an uncompressed zip: 2.7 needs no zlib to import from it."""
    directory = resources.files("lastwords.agent")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for name in FILES:
            out.writestr(zipfile.ZipInfo(name), directory.joinpath(name).read_bytes())
        directory_start = out.start_dir
        offsets = [info.header_offset for info in out.infolist()]
    return _with_utf8_names(bytearray(archive.getvalue()), offsets, directory_start)


def _with_utf8_names(archive: bytearray, headers: list[int], directory: int) -> bytes:
    """Set the flag in each local header (its flags at 6) and in the central directory (at 8)."""
    for offset in headers:
        _set_flag(archive, offset + 6)
    for _ in headers:
        _set_flag(archive, directory + 8)
        name, extra, comment = struct.unpack_from("<HHH", archive, directory + 28)
        directory += 46 + name + extra + comment
    return bytes(archive)


def _set_flag(archive: bytearray, offset: int) -> None:
    (flags,) = struct.unpack_from("<H", archive, offset)
    struct.pack_into("<H", archive, offset, flags | _UTF8_NAME)


def _high_memfd(name: str) -> int:
    """An empty file without a name, under a number that the program's own descriptors do not reach.

    The program's first `open` must still return 3. Raises OSError if there is no descriptor left.
    """
    low = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        high = _duplicate_high(low)
        fcntl.fcntl(high, fcntl.F_SETFL, fcntl.fcntl(high, fcntl.F_GETFL) | os.O_APPEND)
        return high
    finally:
        os.close(low)


def _duplicate_high(fd: int) -> int:
    """The first free number below the soft limit, at most 4,096: each fork copies the table up to the highest."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = HIGHEST_FD if soft == resource.RLIM_INFINITY else min(soft, HIGHEST_FD)
    for below in (16, 64, 256):
        try:
            return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(ceiling - below, LOWEST_FD))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EMFILE):
                raise
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, LOWEST_FD)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
