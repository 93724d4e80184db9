"""Where lastwords keeps what it would otherwise find out anew; nothing depends on it.

Below $XDG_CACHE_HOME (~/.cache), `lastwords`; LASTWORDS_CACHE=off keeps nothing, and reads nothing that was kept.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

SWITCH = "LASTWORDS_CACHE"
OWN = 0o700


def find_cache() -> Path | None:
    """The directory, which may not be there; None where nothing is to be kept, or there is no home for it."""
    if os.environ.get(SWITCH) == "off":
        return None
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    try:  # The XDG base directory specification: a relative one is to be ignored
        return (base if base.is_absolute() else Path.home() / ".cache") / "lastwords"
    except RuntimeError:  # there is no home
        return None


def open_own(name: str, *, create: bool = False) -> int | None:
    """A descriptor of a directory of the cache that is this user's, and that nobody else may read or write.

    None where it is not there, or not like that: what somebody else could have written is not believed.
    """
    cache = find_cache()
    if cache is None:
        return None
    folder = cache / name
    try:
        if create and _is_ours(cache):
            cache.mkdir(parents=True, exist_ok=True)
            folder.mkdir(OWN, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & ~OWN:
        return descriptor
    os.close(descriptor)
    return None


def _is_ours(path: Path) -> bool:
    """Whether what it is in belongs to this user: root leaves nothing in somebody's home. Raises OSError."""
    place = next(one for one in (path, *path.parents) if one.exists())
    return place.stat().st_uid == os.geteuid()
