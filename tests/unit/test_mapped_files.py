"""The proof that a file is the one that a process has mapped, where device and inode say something else."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from lastwords.capture import procfs
from lastwords.capture.mapped_files import MappedFile, find_file
from lastwords.capture.memory import ProcessMemory
from lastwords.capture.procfs import Mapping

PAGES = 64
OTHER_INODE = 12345678


@pytest.fixture
def mapping(tmp_path: Path) -> Iterator[Mapping]:
    """A file of a few pages that this process has mapped."""
    file = tmp_path / "x.so"
    file.write_bytes(b"".join(bytes([number]) * mmap.PAGESIZE for number in range(PAGES))[:-100])
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE):
        yield next(one for one in procfs.read_maps(os.getpid()) if one.path == str(file))


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc without map_files, whose process 7 has our root."""
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/root").symlink_to("/")
    (tmp_path / "proc/7/exe").symlink_to("/bin/true")
    return tmp_path / "proc"


def find(mapping: Mapping, proc: Path) -> MappedFile | None:
    return find_file(7, mapping, proc, ProcessMemory(os.getpid()))


def test_the_kernels_own_link(mapping: Mapping) -> None:
    found = find_file(os.getpid(), mapping)
    assert found is not None
    assert found.proof == ("kernel" if os.geteuid() == 0 else "inode")


def test_its_inode(mapping: Mapping, proc: Path) -> None:
    found = find(mapping, proc)
    assert found is not None
    assert (found.proof, found.path) == ("inode", Path(f"{proc}/7/root{mapping.path}"))
    assert found.status.st_ino == mapping.inode


def test_its_bytes(mapping: Mapping, proc: Path) -> None:
    """As under overlayfs on older kernels: maps show the layer's inode, or its device."""
    for other in (replace(mapping, inode=OTHER_INODE), replace(mapping, device=mapping.device + 1)):
        found = find(other, proc)
        assert found is not None
        assert found.proof == "bytes"


@pytest.mark.parametrize("page", [0, PAGES // 2, PAGES - 4])
def test_another_file_of_that_name_is_not_it(mapping: Mapping, proc: Path, page: int) -> None:
    """Only bytes that are looked at can tell: the first page, and every fourth."""
    data = bytearray(Path(mapping.path).read_bytes())
    data[page * mmap.PAGESIZE] ^= 1
    Path(mapping.path).unlink()
    Path(mapping.path).write_bytes(data)
    assert find(mapping, proc) is None


def test_a_shorter_file_is_not_it(mapping: Mapping, proc: Path) -> None:
    Path(mapping.path).unlink()
    Path(mapping.path).write_bytes(b"")
    assert find(mapping, proc) is None


def test_a_link_in_its_path_is_not_followed(mapping: Mapping, proc: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    assert find(replace(mapping, path=f"{link}/x.so"), proc) is None


def test_a_file_in_a_chroot_has_its_path_in_our_mounts(mapping: Mapping, proc: Path, tmp_path: Path) -> None:
    (proc / "7/root").unlink()
    (proc / "7/root").symlink_to(tmp_path)
    found = find(mapping, proc)
    assert found is not None
    assert (found.proof, found.path) == ("inode", Path(mapping.path))


def test_what_may_be_written_proves_nothing(mapping: Mapping, proc: Path) -> None:
    assert find(replace(mapping, inode=OTHER_INODE, permissions="rw-p"), proc) is None


def test_a_deleted_executable_is_still_there_by_its_link(tmp_path: Path) -> None:
    main = next(one for one in procfs.read_maps(os.getpid()) if one.path == str(Path("/proc/self/exe").readlink()))
    (tmp_path / "7").mkdir()
    (tmp_path / "7/exe").symlink_to(main.path)
    (tmp_path / "7/root").symlink_to(tmp_path)
    found = find(main, tmp_path)
    assert found is not None
    assert found.path == tmp_path / "7/exe"
