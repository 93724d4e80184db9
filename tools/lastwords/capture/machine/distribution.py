"""The distribution that a root directory holds: os-release(5)."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import msgspec

FILES = ("etc/os-release", "usr/lib/os-release")
LINKS_LIMIT = 8


class Distribution(msgspec.Struct, frozen=True):
    """ids: ID and what it is like, the nearest first: ("ubuntu", "debian"); name: as it calls itself."""

    ids: tuple[str, ...]
    name: str


def read_distribution(root: Path) -> Distribution | None:
    """That of a root directory (of another process: `/proc/PID/root`); None where nothing there says."""
    for file in FILES:
        try:
            text = resolve_inside(root, file).read_text(errors="replace")
        except OSError:
            continue
        return _parse(text)
    return None


def resolve_inside(root: Path, file: str) -> Path:
    """`file` below `root`; a link's absolute target is taken from that root, as the process there would take it."""
    path = root / file
    for _ in range(LINKS_LIMIT):
        if not path.is_symlink():
            break
        target = os.readlink(path)  # noqa: PTH115 - a Path would lose nothing, but has no `is absolute` of text
        path = root / target.lstrip("/") if target.startswith("/") else path.parent / target
    return path


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
