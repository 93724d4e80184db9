"""A project's own settings: `[tool.lastwords]` of the nearest pyproject.toml. Loads nothing but what it needs."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lastwords.errors import UsageError

FILE = "pyproject.toml"
TABLE = "tool.lastwords"
HELP = "lastwords run -h"


def find_file(folder: Path) -> Path | None:
    """The nearest pyproject.toml upwards; not one that anybody may have put into a directory of everybody's."""
    for one in (folder, *folder.parents):
        try:
            if (one / FILE).is_file() and not _is_everybodys(one / FILE):
                return one / FILE
        except OSError:
            return None
    return None


def _is_everybodys(path: Path) -> bool:
    is_open = bool(path.parent.stat().st_mode & stat.S_IWOTH)
    return is_open and path.stat().st_uid not in (0, os.geteuid())


def read_table(path: Path) -> Mapping[str, Any]:
    """`[tool.lastwords]` of the file, empty where it has none. Raises UsageError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", f"ls -l {path}") from error
    if b"lastwords" not in content:
        return {}
    import tomllib  # noqa: PLC0415 (start-up time: few projects have such a table)

    try:
        tool = tomllib.loads(content.decode()).get("tool")
    except ValueError as error:
        raise UsageError(f"{path} is not TOML that could be read: {error}", HELP) from error
    table = tool.get("lastwords", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {TABLE} is {table!r:.60}; it is a table: [{TABLE}]", HELP)
    return table
