"""What DWARF has told of addresses, kept for the next run: drgn takes 0.1 s to tell of the first of them.

A file for each ELF file, in the user's cache (cache.py). It counts only for the very same file, debug file and drgn:
device, inode, size, times of change and build-id. One that is damaged or of another version is as if it were not there.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache

import msgspec

from lastwords import __version__
from lastwords.cache import open_own
from lastwords.native.debug_files import DebugFile
from lastwords.native.drgn_lines import Location
from lastwords.native.images import NativeImage

FOLDER = "lines"
SIZE_LIMIT = 4 << 20  # bytes of a file
ADDRESSES_LIMIT = 20_000  # of one file
FILES_LIMIT = 200

Stamp = tuple[int, int, int, int, int]  # device, inode, size, and when it was changed, in ns: mtime, ctime


class _Document(msgspec.Struct):
    """A file. of: what it is good for; lines: by the ELF file's own addresses."""

    of: list[str]
    lines: dict[int, list[Location]]


class KeptLines:
    """What is known of one ELF file; what is added is there for the next run after `save`."""

    def __init__(self, image: NativeImage, debug: DebugFile | None) -> None:
        stamps = [stamp for file in (image.file, debug.file if debug else None) if (stamp := _stamp(file))]
        numbers = [f"{number:x}" for stamp in stamps for number in stamp]
        drgn = _drgn()
        self._name = "-".join([drgn, *numbers]) if drgn and numbers else ""
        self._of = [__version__, image.build_id or ""]
        self._lines = self._read()
        self._has_more = False

    def find(self, address: int) -> Sequence[Location] | None:
        """As Lines.find; None where it was not told yet."""
        return self._lines.get(address)

    def add(self, address: int, found: Sequence[Location]) -> None:
        """What DWARF has told; nothing, where it failed, is not kept."""
        if found and len(self._lines) < ADDRESSES_LIMIT:
            self._lines[address] = list(found)
            self._has_more = True

    def _read(self) -> dict[int, list[Location]]:
        with _folder() as folder:
            data = _read_file(self._name, folder) if folder is not None and self._name else b""
        try:
            document = msgspec.json.decode(data, type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError):  # of nobody's writing, cut off, or not there
            return {}
        return document.lines if document.of == self._of else {}

    def save(self) -> None:
        """At once or not at all; where it cannot be written it is not kept."""
        if not self._has_more or not self._name:
            return
        self._has_more = False
        with _folder(create=True) as folder, suppress(OSError, UnicodeEncodeError):
            if folder is not None:
                _make_room(folder)
                _write_file(self._name, msgspec.json.encode(_Document(self._of, self._lines)), folder)


def _stamp(file: object) -> Stamp | None:
    """Of an open file; None for one in memory."""
    try:
        found = os.fstat(file.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@cache
def _drgn() -> str:
    """Which drgn there is, without loading it; empty where there is none."""
    with suppress(ImportError, OSError, ValueError):
        found = importlib.util.find_spec("_drgn")
        if found and found.origin:
            status = os.stat(found.origin)  # noqa: PTH116 (a plain path)
            return f"{status.st_size:x}-{status.st_mtime_ns:x}"
    return ""


@contextmanager
def _folder(*, create: bool = False) -> Iterator[int | None]:
    descriptor = open_own(FOLDER, create=create)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _read_file(name: str, folder: int) -> bytes:
    """Empty where it cannot be read."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(SIZE_LIMIT)
    except OSError:
        return b""


def _write_file(name: str, content: bytes, folder: int) -> None:
    """Raises OSError."""
    if len(content) >= SIZE_LIMIT:
        return
    draft = f".{os.urandom(6).hex()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(draft, dir_fd=folder)
        raise


def _make_room(folder: int) -> None:
    """The oldest go, also what a killed run has left. Raises OSError."""
    names = os.listdir(folder)
    if len(names) < FILES_LIMIT:
        return
    names.sort(key=lambda name: os.stat(name, dir_fd=folder).st_mtime_ns)
    for name in names[: FILES_LIMIT // 10 + len(names) - FILES_LIMIT]:
        os.unlink(name, dir_fd=folder)
