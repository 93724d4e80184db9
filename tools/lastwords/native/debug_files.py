"""Files with the debug information that was cut out of a library: by its build-id, or by the link that it has to them.

None is taken by its name alone: the build-id must be the same, or, for a link, the checksum.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

import msgspec

from lastwords.capture.elf_tables import ElfTables
from lastwords.native.images import NativeImage, OpenFile, find_build_id

DEBUG = "usr/lib/debug"
LINK_LIMIT = 4096  # bytes of .gnu_debuglink
SIZE_LIMIT = 4 << 30
CHUNK = 1 << 20


class DebugFile(msgspec.Struct):
    """A file with an image's debug information, open."""

    path: Path
    file: BinaryIO
    tables: ElfTables


def find_debug_file(image: NativeImage) -> DebugFile | None:
    """The separate file with the image's debug information, of the target's file system or ours."""
    by_id = (root / DEBUG / ".build-id" / one for root in image.roots for one in _by_build_id(image.build_id))
    found = next((file for path in by_id if (file := _open(path)) and _has_build_id(file, image.build_id)), None)
    return found or _find_linked(image)


def _by_build_id(build_id: str | None) -> list[str]:
    return [f"{build_id[:2]}/{build_id[2:]}.debug"] if build_id and len(build_id) > 2 else []


def _open(path: Path) -> DebugFile | None:
    try:
        if not path.is_file():
            return None
        file = cast("BinaryIO", OpenFile(path))
        return DebugFile(path, file, ElfTables(file))
    except (OSError, ValueError):
        return None


def _has_build_id(found: DebugFile, wanted: str | None) -> bool:
    try:
        return find_build_id(found.tables.notes()) == wanted
    except (OSError, ValueError):
        return False


def _find_linked(image: NativeImage) -> DebugFile | None:
    """By .gnu_debuglink: a file name, filled up with zeros to four bytes, and the checksum of that file."""
    section = image.tables.sections.get(".gnu_debuglink") if image.tables else None
    link = image.tables.data(section) if image.tables and section and section.size <= LINK_LIMIT else b""
    name = link.partition(b"\0")[0].decode("utf-8", "replace")
    if not name or "/" in name or len(link) < 4:
        return None
    checksum = int.from_bytes(link[-4:], "little")
    opened = (_open(path) for path in _linked_paths(image, name))
    return next((one for one in opened if one and _checksum(one.file) == checksum), None)


def _linked_paths(image: NativeImage, name: str) -> Iterator[Path]:
    folder = PurePosixPath(image.path).parent.relative_to("/")
    for root in image.roots:
        for place in (folder, folder / ".debug", PurePosixPath(DEBUG) / folder):
            yield root / place / name


def _checksum(file: BinaryIO) -> int | None:
    """The CRC-32 of the whole file."""
    import zlib  # noqa: PLC0415 (start-up time)

    found, done = 0, 0
    file.seek(0)
    while chunk := file.read(CHUNK):
        found, done = zlib.crc32(chunk, found), done + len(chunk)
        if done > SIZE_LIMIT:
            return None
    return found
