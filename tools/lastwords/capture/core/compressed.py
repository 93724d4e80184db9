"""A compressed core, unpacked into a temporary file without a name: what it is, its first bytes tell, not its name.

Pages of zeros are not written (a core is mostly holes), so the file takes the room of what there is. gzip, bzip2 and
xz are in Python; zstd and lz4 come with `pip install 'lastwords[cores]'`.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import BinaryIO, Protocol, cast

import msgspec

from lastwords.capture.core.headers import FileBytes
from lastwords.errors import SetupError

CHUNK = 1 << 18
PAGE = 4096
SIZE_LIMIT = 64 << 30  # bytes unpacked; more is no core that we would wait for
ZEROS = bytes(PAGE)


class Reader(Protocol):
    """What all of the libraries give."""

    def read1(self, size: int, /) -> bytes:
        """Some unpacked bytes; none at the end."""
        ...


class Format(msgspec.Struct, frozen=True):
    """A way to compress: its name, its first bytes, what opens it, and the package that this needs."""

    name: str
    magic: bytes
    open: Callable[[BinaryIO], Reader]
    package: str | None = None


def _open_gzip(file: BinaryIO) -> Reader:
    return gzip.GzipFile(fileobj=file)


def _open_zstd(file: BinaryIO) -> Reader:
    unpacker = import_module("zstandard").ZstdDecompressor()
    return cast("Reader", unpacker.stream_reader(file, read_across_frames=True))


def _open_lz4(file: BinaryIO) -> Reader:
    return cast("Reader", import_module("lz4.frame").LZ4FrameFile(file))


FORMATS = (
    Format("gzip", b"\x1f\x8b", _open_gzip),
    Format("bzip2", b"BZh", bz2.BZ2File),
    Format("xz", b"\xfd7zXZ\0", lzma.LZMAFile),
    Format("zstd", b"\x28\xb5\x2f\xfd", _open_zstd, "zstandard"),
    Format("lz4", b"\x04\x22\x4d\x18", _open_lz4, "lz4"),
)


def find_format(begin: bytes) -> Format | None:
    """How a file that begins so is compressed; None where it is not."""
    return next((one for one in FORMATS if begin.startswith(one.magic)), None)


def unpack(file: FileBytes, how: Format, name: str) -> tuple[FileBytes, str | None]:
    """Its content in a file without a name, and what cut it short, if something did. Raises SetupError."""
    problems: list[str] = []
    try:
        with os.fdopen(os.dup(file.descriptor), "rb") as packed:
            packed.seek(0)
            return _write(_read_chunks(how.open(packed), problems)), _describe(name, how, problems)
    except ImportError:
        fact = f"{name} is compressed with {how.name}, and the Python package {how.package} is not here."
        raise SetupError(fact, "pip install 'lastwords[cores]'") from None
    except OSError as error:
        folder = tempfile.gettempdir()
        fact = f"{name} is compressed, and there is no room to unpack it in {folder}: {error.strerror or error}"
        raise SetupError(fact, "TMPDIR=DIRECTORY_WITH_ROOM lastwords core ...") from error


def _describe(name: str, how: Format, problems: list[str]) -> str | None:
    return f"{name} is damaged {how.name} data, and was read as far as it goes: {problems[0]}" if problems else None


def _read_chunks(reader: Reader, problems: list[str]) -> Iterator[bytes]:
    """What can be unpacked, in pieces; what stops that is added to `problems`."""
    size = 0
    while size < SIZE_LIMIT:
        try:
            chunk = reader.read1(CHUNK)
        except Exception as error:  # each of the libraries has errors of its own
            problems.append(str(error) or type(error).__name__)
            return
        if not chunk:
            return
        size += len(chunk)
        yield chunk
    problems.append(f"it is more than {SIZE_LIMIT >> 30} GiB")


def _write(chunks: Iterator[bytes]) -> FileBytes:
    """Raises OSError for a full disk, and where there is no directory for temporary files."""
    with tempfile.TemporaryFile(prefix="lastwords-") as file:
        unpacked = FileBytes(os.dup(file.fileno()))
    size = 0
    for chunk in chunks:
        for at in range(0, len(chunk), PAGE):
            page = chunk[at : at + PAGE]
            if page != ZEROS[: len(page)]:
                _write_whole(unpacked.descriptor, page, size + at)
        size += len(chunk)
    os.ftruncate(unpacked.descriptor, size)
    return unpacked


def _write_whole(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
