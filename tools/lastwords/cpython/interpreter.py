"""The interpreter of a process: found, named, its layout checked against live objects before it is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from lastwords.capture import elf, procfs
from lastwords.capture.elf import Image
from lastwords.capture.memory import CachedMemory, Memory, ReadError, open_process_memory
from lastwords.cpython.choose import choose_layout
from lastwords.cpython.dicts import find_item
from lastwords.cpython.numbers import read_int
from lastwords.cpython.refusals import (
    explain_gone,
    explain_no_interpreter,
    explain_no_python,
    explain_refusal,
    refuse_thread,
)
from lastwords.cpython.roots import find_head
from lastwords.cpython.source import Sources
from lastwords.cpython.structs import Structs
from lastwords.cpython.text import read_text
from lastwords.cpython.types import type_of
from lastwords.hexversion import format_version
from lastwords.model import Phase, Python

THREADS_LIMIT = 100_000
INTERPRETERS_LIMIT = 10_000


class Interpreter(Structs):
    """CPython in one process at one moment. `refresh()` when the process has run since.

    `head` is the address of its first PyInterpreterState, `pid` None where there is no live process behind it.
    main_tid: the kernel's id of the process's first thread
    find_file: the mapped file that defines one of some symbols, where that is not to be found by `pid`
    """

    def __init__(self, pid: int | None, memory: CachedMemory, image: Image, checked: Structs, head: int) -> None:
        super().__init__(memory, checked.layout)
        self.names, self.kinds = checked.names, checked.kinds
        self.pid = pid
        self.image = image
        self.head = head
        self.cache = memory
        self.main_tid = pid
        self.find_file: Callable[[Sequence[str]], Image | None] | None = None
        self.sources = Sources(pid) if pid is not None else None
        self.sys_dict = self.number(head, "PyInterpreterState", "sysdict")

    @cached_property
    def unicode_width(self) -> int:
        """Bytes of a character of 2.7's `unicode`, as it was built: the names of its C functions tell."""
        return 2 if "PyUnicodeUCS2_AsUTF8String" in self.image.elf.symbols else 4

    def refresh(self) -> None:
        """Forgets what was read: the process has run."""
        self.cache.clear()
        self.forget()
        self.sources = Sources(self.pid) if self.pid is not None else None

    @property
    def python(self) -> Python:
        """Version, build and so on, as `sys` of the target says. Raises ReadError."""
        text = find_item(self, self.sys_dict, "version") if self.sys_dict else None
        is_there = text and not type_of(self, text).is_static("NoneType")
        build = read_text(self, text, 4096) if text and is_there else None
        return Python(
            version=self.version,
            implementation="CPython",
            build=build,
            free_threaded=False,
            debug_symbols=self.image.elf.has_dwarf,
        )

    @property
    def version(self) -> str:
        """The release with its suffix: "2.7.18", "3.15.0a2".

        `Py_Version` has it (from 3.11 on), or `sys.hexversion` until module teardown; else only "2.7" is known.
        """
        address = self.image.address("Py_Version")
        if address is not None:
            return format_version(int.from_bytes(self.memory.read(address, 4), "little"))
        found = find_item(self, self.sys_dict, "hexversion") if self.sys_dict else None
        if not found or type_of(self, found).is_static("NoneType"):
            return self.layout.release
        return format_version(read_int(self, found))

    def interpreters(self) -> list[int]:
        """The addresses of all PyInterpreterStates; the main one is the last. Raises ReadError."""
        return list(self._chain(self.head, "PyInterpreterState", "next", INTERPRETERS_LIMIT))

    @property
    def main(self) -> int:
        """The address of the main PyInterpreterState: the first that was made, the last of the list."""
        return self.interpreters()[-1]

    def threads(self) -> list[tuple[int, int, int | None]]:
        """(PyThreadState's address, ident, kernel's tid from 3.11 on) of all threads. Raises ReadError."""
        has_tid = self.has("PyThreadState", "native_thread_id")
        return [
            (
                address,
                self.number(address, "PyThreadState", "thread_id"),
                self.number(address, "PyThreadState", "native_thread_id") if has_tid else None,
            )
            for interpreter in self.interpreters()
            for address in self.thread_states(interpreter)
        ]

    def thread_states(self, interpreter: int) -> Iterator[int]:
        """The addresses of the PyThreadStates of one interpreter, the newest first."""
        first = self.number(interpreter, "PyInterpreterState", "threads.head")
        return self._chain(first, "PyThreadState", "next", THREADS_LIMIT)

    def _chain(self, address: int, struct: str, field: str, limit: int) -> Iterator[int]:
        seen: set[int] = set()
        while address:
            if address in seen or len(seen) >= limit:
                raise ReadError(f"the list of {struct} comes back to {address:#x} or does not end")
            seen.add(address)
            yield address
            address = self.number(address, struct, field)

    def find_thread(self, ident: int) -> int | None:
        """The PyThreadState of the thread whose `pthread_self()` (x86-64: fs_base) is `ident`. Raises ReadError."""
        return next((address for address, found, _ in self.threads() if found == ident), None)

    def phase(self) -> Phase:
        """ "running", "shutdown" or "finalizing": see finalize.read_phase. Raises ReadError."""
        from lastwords.cpython.finalize import read_phase  # noqa: PLC0415 - it reads through this class

        return read_phase(self)


def open_process(
    pid: int, memory: Memory | None = None, image: Image | None = None, proc: Path = procfs.PROC
) -> Interpreter:
    """The CPython in a process that stands still. Raises TargetError, or SetupError where we may not read it.

    `memory` reads it some other way than process_vm_readv; `image` is what `find_python_image` found.
    """
    try:
        if image is None:
            image = find_image(pid, procfs.read_maps(pid, proc), proc, memory or open_process_memory(pid))
        cached = CachedMemory(memory or open_process_memory(pid, image.start))
        return open_image(pid, cached, image)
    except procfs.ProcessGoneError:
        raise explain_gone(pid) from None
    except (PermissionError, ReadError) as error:
        raise explain_refusal(pid, error, proc) from error


def open_image(pid: int | None, memory: CachedMemory, image: Image) -> Interpreter:
    """The interpreter that `image` holds, its layout checked. Raises TargetError or ReadError."""
    name = f"Process {pid}" if pid is not None else "The target"
    checked = choose_layout(memory, image, name)
    head = find_head(checked, image)
    if not head:
        raise explain_no_interpreter(pid)
    return Interpreter(pid, memory, image, checked, head)


def find_image(
    pid: int, maps: Sequence[procfs.Mapping], proc: Path = procfs.PROC, memory: Memory | None = None
) -> Image:
    """The file that holds CPython, or what of it is in `memory`. Raises TargetError: what the process is instead."""
    refuse_thread(pid, proc)
    image = elf.find_python_image(pid, maps, proc, memory)
    if image is None:
        raise explain_no_python(pid, maps, proc, memory)
    return image
