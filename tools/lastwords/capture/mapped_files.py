"""The file on this machine that is the one which a process has mapped, and the proof that it is.

A path in /proc/PID/maps proves nothing: the process may have another root (a container's, a chroot's), the file may
have been replaced, and layered file systems (overlayfs, btrfs) show other devices and inodes in maps than stat(2) does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from lastwords.capture.memory import PAGE, Memory, open_process_memory
from lastwords.capture.procfs import PROC, Mapping
from lastwords.capture.target_paths import open_path

Proof = Literal["kernel", "inode", "bytes"]
COMPARED = 16  # pages of a mapping that are compared with the file


class MappedFile(msgspec.Struct, frozen=True):
    """`path` opens it here, as long as the process lives; `status` is what stat(2) says of it.

    proof: "kernel", the kernel's own link to it; "inode", its device and inode; "bytes", the first page of the mapping,
    which has the ELF header and mostly the build-id, and others of it are in the file where they should be
    """

    path: Path
    status: os.stat_result
    proof: Proof


def find_file(pid: int, mapping: Mapping, proc: Path = PROC, memory: Memory | None = None) -> MappedFile | None:
    """The file behind a mapping; None where it cannot be had any more, or what is there is another one.

    `memory` is the process's, if that is not to be opened here: in it is looked where inodes prove nothing.
    """
    directory = proc / str(pid)
    if memory is None and proc == PROC:
        memory = open_process_memory(pid)
    for path in _find_ways(directory, mapping):
        try:
            found = _stat(directory, path)
            proof = _prove(path, found, mapping, memory)
        except OSError:
            continue
        if proof is not None:
            return MappedFile(path, found, proof)
    return None


def _find_ways(directory: Path, mapping: Mapping) -> Iterator[Path]:
    """Paths that may lead to it; `exe` does even where the executable is deleted."""
    yield directory / "map_files" / f"{mapping.start:x}-{mapping.end:x}"  # needs CAP_CHECKPOINT_RESTORE
    if not mapping.is_deleted:
        yield Path(f"{directory}/root{mapping.path}")
    exe = directory / "exe"
    try:
        if str(exe.readlink()) == mapping.path:
            yield exe
        if not mapping.is_deleted and str((directory / "root").readlink()) != "/":
            yield Path(mapping.path)  # a chroot's, in our own mounts: maps has its path as we see it
    except OSError:  # a kernel thread, or another user's
        return


def _stat(directory: Path, path: Path) -> os.stat_result:
    """Of what the path leads to. Raises OSError."""
    root = directory / "root"
    if not path.is_relative_to(root):
        return path.stat()
    # what was mapped had no link in its path: one that is there now may lead out of the target's root
    with open_path(directory, f"/{path.relative_to(root)}", links=False) as descriptor:
        return os.fstat(descriptor)


def _prove(path: Path, found: os.stat_result, mapping: Mapping, memory: Memory | None) -> Proof | None:
    """How it is known that this is the mapped file; None where it is not. Raises OSError."""
    if path.parent.name == "map_files":
        return "kernel"
    if (found.st_dev, found.st_ino) == (mapping.device, mapping.inode):
        return "inode"
    return "bytes" if memory is not None and _has_same_bytes(path, mapping, memory) else None


def _has_same_bytes(path: Path, mapping: Mapping, memory: Memory) -> bool:
    """Whether pages of a mapping that nobody writes to are those of the file. Raises OSError."""
    if "w" in mapping.permissions:
        return False
    pages = _choose_pages(mapping)
    mapped = memory.read_many([(page, PAGE) for page in pages])
    with path.open("rb") as file:
        there = [os.pread(file.fileno(), PAGE, mapping.offset + page - mapping.start) for page in pages]
    return any(there) and all(one == other.ljust(PAGE, b"\0") for one, other in zip(mapped, there, strict=True))


def _choose_pages(mapping: Mapping) -> Sequence[int]:
    """The first one, and others as far from each other as COMPARED allows."""
    count = (mapping.end - mapping.start) // PAGE
    return range(mapping.start, mapping.end, max(count // COMPARED, 1) * PAGE)
