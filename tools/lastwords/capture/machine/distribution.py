"""The distribution that a root directory holds: os-release(5)."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec

from lastwords.capture.target_paths import open_path, reopen

FILES = ("/etc/os-release", "/usr/lib/os-release")


class Distribution(msgspec.Struct, frozen=True):
    """ids: ID and what it is like, the nearest first: ("ubuntu", "debian"); name: as it calls itself."""

    ids: tuple[str, ...]
    name: str


def read_distribution(directory: Path) -> Distribution | None:
    """What the root of the process of `directory`, a /proc/PID, holds; None where nothing there says."""
    for file in FILES:
        try:
            with open_path(directory, file) as descriptor:
                return _parse(Path(reopen(descriptor)).read_text(errors="replace"))
        except OSError:
            continue
    return None


def _parse(text: str) -> Distribution | None:
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    values = {name: _unquote(value) for name, value in fields.items()}
    ids = (values.get("ID", ""), *values.get("ID_LIKE", "").split())
    known = tuple(one for one in ids if one)
    return Distribution(known, values.get("PRETTY_NAME") or known[0]) if known else None


def _unquote(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value
