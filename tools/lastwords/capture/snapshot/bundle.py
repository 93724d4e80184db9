"""The ELF files of a snapshot, for machines that have not the same: packed behind it, whole, as a compressed tar.

Whole, because then they are what was mapped, build-ids and all, for gdb and drgn too; and nothing is made up that could
be taken for code. A tar, because `tail -c +OFFSET SNAPSHOT | tar xz` is all that it takes to have them for gdb.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable
from collections.abc import Mapping as ReadOnlyDict
from pathlib import Path
from typing import BinaryIO

from lastwords.capture.core.headers import FileBytes
from lastwords.capture.elf import find_mapped, is_code_file
from lastwords.capture.procfs import PROC, Mapping

SIZE_LIMIT = 4 << 30  # bytes unpacked
LEVEL = 6  # of gzip
DELETED = " (deleted)"


def pack(
    pid: int, maps: Iterable[Mapping], names: ReadOnlyDict[str, str], file: BinaryIO, proc: Path = PROC
) -> list[str]:
    """Writes the code files of a live process to `file`. Those that are not to be had any more. Raises OSError.

    names: other names of files, under which debuggers look for them.
    """
    missing = []
    with (
        gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w|") as packed,
    ):
        for path, mapping in {one.path: one for one in maps if is_code_file(one)}.items():
            found = find_mapped(pid, mapping, proc)
            if found is None:
                missing.append(path)
                continue
            with found[0].open("rb") as content:
                packed.addfile(_describe(path, content), content)
        for name, path in names.items():
            if path not in missing:
                packed.addfile(_describe_link(name, path))
    return missing


def _describe(path: str, content: BinaryIO) -> tarfile.TarInfo:
    """Its name and size; whose it is, and when it was made, is nobody's business."""
    member = tarfile.TarInfo(path.removesuffix(DELETED).lstrip("/"))
    member.size = os.fstat(content.fileno()).st_size
    member.mode = 0o755
    return member


def _describe_link(name: str, path: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name.lstrip("/"))
    member.type, member.linkname = tarfile.LNKTYPE, path.removesuffix(DELETED).lstrip("/")
    return member


class Bundle:
    """The files at `offset` of a snapshot. Unpacked, into files without a name, when the first is asked for."""

    def __init__(self, file: FileBytes, offset: int, problems: list[str]) -> None:
        self._file = file
        self._offset = offset
        self._problems = problems
        self._found: dict[str, FileBytes] | None = None

    def find(self, path: str) -> Path | None:
        """The file that the process had as `path`; None where it was not packed. It is there as long as this is."""
        if self._found is None:
            self._found = self._unpack()
        found = self._found.get(path.lstrip("/"))
        return Path(f"/proc/self/fd/{found.descriptor}") if found else None

    def _unpack(self) -> dict[str, FileBytes]:
        files: dict[str, FileBytes] = {}
        size = 0
        try:
            with os.fdopen(os.dup(self._file.descriptor), "rb") as whole:
                whole.seek(self._offset)
                with tarfile.open(fileobj=whole, mode="r|gz") as packed:
                    for member in packed:
                        size += member.size
                        content = packed.extractfile(member) if member.isreg() and size <= SIZE_LIMIT else None
                        if content is not None:
                            with tempfile.TemporaryFile(prefix="lastwords-") as file:
                                shutil.copyfileobj(content, file)
                                file.flush()
                                files[member.name] = FileBytes(os.dup(file.fileno()))
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            self._problems.append(f"the files that came with the snapshot were not all unpacked: {error}")
        return files
