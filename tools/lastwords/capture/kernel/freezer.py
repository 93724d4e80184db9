"""Whether a control group keeps a process frozen (cgroups(7)): no thread of it runs, and none says so in its state.

Version 2 has `cgroup.freeze` in each group (threads are then in state S), version 1 `freezer.state` and
`freezer.self_freezing` (state D). A group is frozen with the one that it is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lastwords.capture.procfs import PROC, ProcessGoneError, read_text

UNIFIED = ("cgroup2", "cgroup.freeze", "cgroup.freeze")
FREEZER = ("cgroup", "freezer.self_freezing", "freezer.state")  # what tells, and what one writes to


def find_freezer(pid: int, proc: Path = PROC) -> Path | None:
    """The file by which the process was frozen, and can be thawed; None where it is not, or where that is not seen."""
    try:
        for path, (kind, tells, thaws) in _groups(pid, proc):
            for mount, root in _mounts(kind, proc):
                for folder in _folders(path, mount, root):
                    if _read_quietly(folder / tells) == "1":
                        return folder / thaws
    except (OSError, ProcessGoneError):
        pass
    return None


def _groups(pid: int, proc: Path) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Its groups that can freeze it: `0::/user.slice` of version 2, `6:freezer:/` of version 1."""
    for line in read_text(pid, "cgroup", proc).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield path, UNIFIED
        elif "freezer" in controllers.split(","):
            yield path, FREEZER


def _mounts(kind: str, proc: Path) -> Iterator[tuple[Path, str]]:
    """Where we see such groups, and which of them is seen there as the first: "/", or a container's.

    /proc/self/mountinfo: "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw"
    """
    for line in _read_quietly(proc / "self" / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        words, of_type = before.split(" "), after.split(" ")
        is_kind = of_type[0] == kind and (kind == "cgroup2" or "freezer" in of_type[-1].split(","))
        if is_kind and len(words) > 4:
            yield Path(words[4].replace("\\040", " ")), words[3]


def _folders(path: str, mount: Path, root: str) -> Iterator[Path]:
    """The group's folder, and those of the groups that it is in, as far as we see them."""
    if ".." in PurePosixPath(path).parts or not PurePosixPath(path).is_relative_to(root):
        return
    inside = PurePosixPath(path).relative_to(root)
    for group in (inside, *inside.parents):
        yield mount / group


def _read_quietly(file: Path) -> str:
    try:
        return file.read_text(errors="surrogateescape").strip()
    except OSError:
        return ""
