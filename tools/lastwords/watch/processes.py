"""The processes that are watched, and what is known of each from outside."""

from __future__ import annotations

import os
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.hash import GNUHashSection
from elftools.elf.sections import Section, SymbolTableSection

from lastwords.capture import procfs
from lastwords.capture.agent_records import default_process_id
from lastwords.model import Exit, Process

# What an executable that is CPython, or is linked with it, has in its dynamic section or symbols.
_MAIN = ("Py_BytesMain", "Py_Main", "Py_RunMain")


class Processes:
    """Records by pid. A forked child that execs something else than Python is forgotten."""

    def __init__(self, main: Process) -> None:
        self.main = main
        self.watched: dict[int, Process] = {main.pid: main}
        self.ended: list[Process] = []
        self.pythons: set[int] = set()

    def all(self) -> list[Process]:
        """Those that were or are watched and ran Python, the program's own always, in the order of their start."""
        kept = [process for process in (*self.ended, *self.watched.values()) if process is not self.main]
        return [self.main, *sorted(kept, key=lambda process: process.pid)]

    def fork(self, parent: int, pid: int) -> None:
        """`parent` has a new child: it starts as what its parent is."""
        like = self.watched.get(parent, self.main)
        self.watched[pid] = Process(
            id=self._new_id(pid),
            pid=pid,
            ppid=parent,
            argv=list(like.argv),
            executable=like.executable,
            cwd=like.cwd,
            python=like.python,
        )

    def _new_id(self, pid: int) -> str:
        """The usual id; another where the kernel has given the pid of an ended process out again."""
        again = sum(process.pid == pid for process in self.ended)
        return f"{default_process_id(pid)}-{again + 1}" if again else default_process_id(pid)

    def execute(self, pid: int) -> bool:
        """`pid` has replaced its program. Whether the new one is Python."""
        process = self.watched.setdefault(pid, Process(id=self._new_id(pid), pid=pid))
        process.executable = procfs.read_link(pid, "exe")
        process.argv = procfs.read_cmdline(pid) or process.argv
        process.cwd = procfs.read_link(pid, "cwd")
        process.python = None
        is_python = is_python_program(pid)
        if is_python:
            self.pythons.add(pid)
        return is_python

    def find(self, pid: int) -> None:
        """`pid` runs, and may have been started while nobody watched. Raises ProcessGoneError or OSError."""
        if pid not in self.watched:
            self.fork(procfs.read_status(pid).ppid, pid)
            self.execute(pid)

    def let_go(self, pid: int) -> None:
        """It runs something else now and is watched no more."""
        if pid != self.main.pid:
            self.watched.pop(pid, None)

    def end(self, pid: int, ended: Exit | None) -> None:
        """It has ended."""
        process = self.watched.get(pid)
        if process is not None and process is not self.main:
            process.exit = ended
            self.ended.append(self.watched.pop(pid))

    def others(self) -> list[int]:
        """The pids that are still watched, without the program's own."""
        return [pid for pid in self.watched if pid != self.main.pid]


_known: dict[tuple[int, int], bool] = {}


def is_python_program(pid: int) -> bool:
    """Whether the executable of a process is CPython or linked with it; read through /proc, whatever its root."""
    try:
        with Path(f"/proc/{pid}/exe").open("rb") as file:
            found = os.fstat(file.fileno())
            key = (found.st_dev, found.st_ino)
            if key not in _known:
                _known[key] = _is_python(ELFFile(file))
            return _known[key]
    except (OSError, ELFError):
        return False


def _is_python(elf: ELFFile) -> bool:
    dynamic = elf.get_section_by_name(".dynamic")
    if isinstance(dynamic, DynamicSection) and any(
        str(vars(tag).get("needed")).startswith("libpython") for tag in dynamic.iter_tags("DT_NEEDED")
    ):
        return True
    hashes = elf.get_section_by_name(".gnu.hash")
    if isinstance(hashes, GNUHashSection):
        return any(hashes.get_symbol(name) is not None for name in _MAIN)
    return any(_defines(elf.get_section_by_name(table)) for table in (".dynsym", ".symtab"))


def _defines(symbols: Section | None) -> bool:
    return isinstance(symbols, SymbolTableSection) and any(symbols.get_symbol_by_name(name) for name in _MAIN)
