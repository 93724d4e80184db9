"""What lastwords finds around itself: gdb and its Python, drgn. Facts only; `doctor` judges them."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator

from lastwords import __version__
from lastwords.capture.which_gdb import Gdb, find_gdb
from lastwords.model import SCHEMA

__all__ = ["Gdb", "find_drgn", "find_gdb", "format_versions"]


def find_drgn() -> str | None:
    """The version of drgn, None where it is not installed."""
    try:
        return importlib.metadata.version("drgn")
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
    yield f"drgn {find_drgn() or 'not installed'}"
