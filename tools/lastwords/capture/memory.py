"""The memory of one moment: whoever can read bytes at an address of the target.

`Memory` is all that the readers know. Here are the two ways into a live process, `process_vm_readv` and
`/proc/PID/mem`, and a cache that is valid as long as the target stands still.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

PAGE = 4096
AHEAD = 4 * PAGE  # what is read of one page is often followed by what is beside it
ADDRESS_LIMIT = 1 << 64
READ_LIMIT = 64 << 20  # no single object that we ask for is larger; a size above this is not a size
BATCH_LIMIT = 1024  # IOV_MAX: ranges per process_vm_readv

Range = tuple[int, int]


class ReadError(Exception):
    """Something of the target could not be read, or is not what it should be.

    `missing` is "unreadable" (no memory there) or "unparsable" (memory, but it makes no sense).
    """

    def __init__(self, message: str, missing: Literal["unreadable", "unparsable"] = "unparsable") -> None:
        super().__init__(message)
        self.missing = missing


def unreadable(address: int, size: int, reason: str) -> ReadError:
    """The error for `size` bytes at `address` that are not to be had."""
    return ReadError(f"{size} bytes at {address:#x} cannot be read: {reason}", "unreadable")


class Memory(Protocol):
    """Bytes by address. Raises ReadError, nothing else, for what it cannot give in full."""

    def read(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes at `address`."""
        ...

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """For each (address, size) its bytes, or None where they cannot be read."""
        ...


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
_readv = _libc.process_vm_readv
_readv.restype = ctypes.c_ssize_t
_readv.argtypes = [
    ctypes.c_int,
    ctypes.POINTER(_IoVec),
    ctypes.c_ulong,
    ctypes.POINTER(_IoVec),
    ctypes.c_ulong,
    ctypes.c_ulong,
]


def _check(address: int, size: int) -> None:
    if not 0 <= size <= READ_LIMIT:
        raise ReadError(f"a size of {size} bytes at {address:#x} cannot be right")
    if not 0 < address < ADDRESS_LIMIT - size:
        raise unreadable(address, size, "not an address")


class ProcessMemory:
    """A live process's memory through process_vm_readv(2). Needs the right to ptrace it; stops nothing."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        _check(address, size)
        if size == 0:
            return b""
        buffer = ctypes.create_string_buffer(size)
        got = self._readv([(address, size)], ctypes.addressof(buffer), size)
        if got != size:
            reason = os.strerror(-got) if got < 0 else f"only {got} of them are there"
            raise unreadable(address, size, reason)
        return buffer.raw

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory. One system call for up to 1,024 ranges; the kernel stops at the first that fails."""
        found: list[bytes | None] = []
        while len(found) < len(ranges):
            found += self._read_batch(ranges[len(found) : len(found) + BATCH_LIMIT])
        return found

    def _read_batch(self, ranges: Sequence[Range]) -> list[bytes | None]:
        for address, size in ranges:
            if size > READ_LIMIT or not 0 < address < ADDRESS_LIMIT - size:
                return [_read_or_none(self, item) for item in ranges]
        total = sum(size for _, size in ranges)
        if total > READ_LIMIT:
            return [_read_or_none(self, item) for item in ranges]
        buffer = ctypes.create_string_buffer(total or 1)
        got = max(self._readv(ranges, ctypes.addressof(buffer), total), 0)
        found: list[bytes | None] = []
        start = 0
        for _, size in ranges:
            if start + size > got:
                return [*found, None]  # this one failed; the caller goes on behind it
            found.append(
                buffer.raw[start : start + size]
                if len(ranges) == 1
                else ctypes.string_at(ctypes.addressof(buffer) + start, size)
            )
            start += size
        return found

    def read_into(self, ranges: Sequence[Range], into: int) -> int:
        """Reads up to 1,024 ranges, one behind the other, to `into` in our memory: one system call.

        Bytes read: all of them, or those before the first page that cannot be read.
        """
        return self.prepare(ranges, into)()

    def prepare(self, ranges: Sequence[Range], into: int) -> Callable[[], int]:
        """What will do this: `read_into` with all that can be done before a process is stopped for it."""
        local = _IoVec(into, sum(size for _, size in ranges))
        remote = (_IoVec * len(ranges))(*(_IoVec(address, length) for address, length in ranges))
        read = partial(_readv, self.pid, local, 1, remote, len(ranges), 0)
        return lambda: max(read(), 0)

    def is_allowed(self) -> bool:
        """Whether the kernel makes this call for us: containers have filters that refuse it. Reads nothing."""
        buffer = ctypes.create_string_buffer(1)
        return self._readv([(0, 1)], ctypes.addressof(buffer), 1) not in (-errno.EPERM, -errno.ENOSYS)

    def _readv(self, ranges: Sequence[Range], into: int, size: int) -> int:
        """Bytes read, or the negative errno."""
        local = _IoVec(into, size)
        remote = (_IoVec * len(ranges))(*(_IoVec(address, length) for address, length in ranges))
        got = int(_readv(self.pid, ctypes.byref(local), 1, remote, len(ranges), 0))
        return got if got >= 0 else -ctypes.get_errno()


class ProcMemMemory:
    """A live process's memory through `/proc/PID/mem`, for kernels that refuse process_vm_readv."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self.pid = pid
        self._fd = os.open(proc / str(pid) / "mem", os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        _check(address, size)
        try:
            data = os.pread(self._fd, size, address)
        except (OSError, OverflowError) as error:
            raise unreadable(address, size, str(error)) from None
        if len(data) != size:
            raise unreadable(address, size, f"only {len(data)} of them are there")
        return data

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        return [_read_or_none(self, item) for item in ranges]


def _read_or_none(memory: Memory, item: Range) -> bytes | None:
    try:
        return memory.read(*item)
    except ReadError:
        return None


class CachedMemory:
    """Remembers the pages of another Memory. Valid while the target stands still: `clear()` when it ran."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._pages: dict[int, bytes | None] = {}

    @property
    def is_copy(self) -> bool:
        """Whether all that is to be had is there, and nothing is ever fetched."""
        return False

    def clear(self) -> None:
        """Forgets everything: the target has run."""
        self._pages.clear()

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        start = address & (PAGE - 1)
        page = self._pages.get(address - start)
        if page is not None and 0 <= size <= PAGE - start:  # nearly always
            return page[start : start + size]
        _check(address, size)
        pages = range(address - start, address + size, PAGE)
        self._fetch(range(address & -AHEAD, (address & -AHEAD) + AHEAD, PAGE) if len(pages) == 1 else pages)
        parts = [self._pages[number] for number in pages]
        if None in parts:
            return self.memory.read(address, size)  # says what is wrong, or a part of a page is there
        return b"".join(part for part in parts if part)[start : start + size]

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory. Fetches all pages that are missing in one go."""
        self.prefetch(ranges)
        return [_read_or_none(self, item) for item in ranges]

    def prefetch(self, ranges: Iterable[Range]) -> None:
        """Have these at hand, for reads that come one by one: what is missing of them is fetched in one go."""
        wanted = (
            number
            for address, size in ranges
            if _is_sane(address, size)
            for number in range(address & -PAGE, address + size, PAGE)
        )
        self._fetch(wanted)

    def _fetch(self, numbers: Iterable[int]) -> None:
        missing = [number for number in dict.fromkeys(numbers) if number not in self._pages]
        ranges = [(number, PAGE) for number in missing]
        self._pages.update(zip(missing, self.memory.read_many(ranges), strict=True))


class UncachedMemory(CachedMemory):
    """Remembers nothing: for a memory that does itself, and that is to be asked for no more than is needed."""

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        return self.memory.read(address, size)

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        return self.memory.read_many(ranges)

    def prefetch(self, ranges: Iterable[Range]) -> None:
        """Nothing: it would not be kept."""


def _is_sane(address: int, size: int) -> bool:
    return 0 <= size <= READ_LIMIT and 0 < address < ADDRESS_LIMIT - size


def open_process_memory(pid: int, address: int | None = None) -> Memory:
    """The memory of a live process by whichever way works; `address` is one that must be readable.

    Raises ReadError where neither does, with the kernel's reason; without an address nothing is raised.
    """
    memory = ProcessMemory(pid)
    if address is None:
        return memory if memory.is_allowed() else _open_mem(pid) or memory
    try:
        memory.read(address, 1)
    except ReadError as error:
        if ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM):
            raise
        other = _open_mem(pid)
        if other is None:
            raise error from None
        return other
    return memory


def _open_mem(pid: int) -> Memory | None:
    try:
        return ProcMemMemory(pid)
    except OSError:
        return None
