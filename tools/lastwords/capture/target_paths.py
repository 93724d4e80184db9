"""A path as the target means it: in its own root, its own mounts, its own working directory.

Below `/proc/PID/root` the kernel finds the target's files, but an absolute symbolic link on the way is resolved against
*our* root: in a sidecar, `/app -> /srv/app` would lead to the sidecar's own `/srv/app`. So each component is opened by
itself, and links are followed here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LINKS_LIMIT = 40  # as the kernel's own (MAXSYMLINKS)
PART = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_path(directory: Path, path: str, *, links: bool = True) -> Iterator[int]:
    """A descriptor (O_PATH) of what the process of `directory`, a /proc/PID, calls `path`.

    `links=False`: where a symbolic link is on the way, it is not there. Raises OSError.
    """
    root = os.open(directory / "root", os.O_PATH | os.O_CLOEXEC)
    at = os.open(directory / ("root" if path.startswith("/") else "cwd"), os.O_PATH | os.O_CLOEXEC)
    try:
        parts, followed = path.split("/")[::-1], 0
        while parts:
            part = parts.pop()
            if part in ("", ".") or (part == ".." and os.path.sameopenfile(at, root)):
                continue
            at, before = os.open(part, PART, dir_fd=at), at
            if not stat.S_ISLNK(os.fstat(at).st_mode):
                os.close(before)
                continue
            link = os.readlink("", dir_fd=at)
            os.close(at)
            at, followed = before, followed + 1
            if followed > LINKS_LIMIT or not links:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if link.startswith("/"):
                os.dup2(root, at, inheritable=False)
            parts += link.split("/")[::-1]
        yield at
    finally:
        os.close(at)
        os.close(root)


def reopen(descriptor: int) -> str:
    """A path by which what an O_PATH descriptor stands for can be opened to be read."""
    return f"/proc/self/fd/{descriptor}"


def is_root_ours(directory: Path) -> bool:
    """Whether the process of `directory`, a /proc/PID, finds the same file under every path as we do."""
    try:
        mounts = os.readlink(directory / "ns/mnt") == os.readlink("/proc/self/ns/mnt")  # noqa: PTH115 - it is no path
        return mounts and os.path.samefile(directory / "root", "/proc/self/root")  # noqa: PTH121 - as above
    except OSError:
        return False
