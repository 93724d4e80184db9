"""What lastwords finds around itself: gdb and its Python, drgn. Facts only; `doctor` judges them."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from collections.abc import Iterator

import msgspec

from lastwords import __version__
from lastwords.capture.which_gdb import Gdb, find_gdb
from lastwords.model import SCHEMA

__all__ = ["Drgn", "Gdb", "find_drgn", "find_gdb", "format_versions"]


class Drgn(msgspec.Struct, frozen=True):
    """version: None where it is not installed; error: why it cannot be imported, None where it can."""

    version: str | None
    error: str | None = None


def find_drgn() -> Drgn:
    """The drgn of our own interpreter, imported: its libraries may be missing."""
    version = _find_version("drgn")
    if version is None:
        return Drgn(None)
    try:
        importlib.import_module("drgn")
    except ImportError as error:
        return Drgn(version, str(error))
    return Drgn(version)


def _find_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def format_versions() -> Iterator[str]:
    """The lines of `--version`."""
    yield f"lastwords {__version__} (schema {SCHEMA}, CPython {platform.python_version()})"
    gdb = find_gdb()
    if gdb is None:
        yield "gdb not found"
    else:
        yield f"gdb {gdb.version or 'of unknown version'} ({gdb.path}), its Python {gdb.python or 'missing'}"
    yield f"drgn {_find_version('drgn') or 'not installed'}"
