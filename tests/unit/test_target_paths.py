"""Paths as a process in another root means them: links, `..`, relative ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lastwords.capture.target_paths import is_root_ours, open_path, reopen
from lastwords.cpython.source import Sources


@pytest.fixture
def process(tmp_path: Path) -> Path:
    """/proc/7 of a process whose root is a directory, beside which lies a file that it must not reach."""
    root = tmp_path / "root"
    (root / "srv/app").mkdir(parents=True)
    (root / "srv/app/main.py").write_text("first\nsecond\n")
    (tmp_path / "main.py").write_text("outside\n")
    (root / "app").symlink_to("/srv/app")
    (root / "up").symlink_to("../../..")
    (root / "srv/here").symlink_to("app/../app")
    (root / "loop").symlink_to("/loop")
    (root / "out").symlink_to(tmp_path / "main.py")
    directory = tmp_path / "proc/7"
    directory.mkdir(parents=True)
    (directory / "root").symlink_to(root)
    (directory / "cwd").symlink_to(root / "srv")
    return directory


def read(process: Path, path: str, *, links: bool = True) -> str:
    with open_path(process, path, links=links) as descriptor:
        return Path(reopen(descriptor)).read_text()


@pytest.mark.parametrize(
    "path",
    [
        "/srv/app/main.py", "/app/main.py", "//srv//app/./main.py", "/srv/../../../srv/app/main.py",
        "/up/srv/app/main.py", "/srv/here/main.py", "app/main.py", "here/../app/main.py", "../app/main.py",
    ],
)  # fmt: skip
def test_paths_stay_inside_its_root(process: Path, path: str) -> None:
    assert read(process, path) == "first\nsecond\n"


@pytest.mark.parametrize("path", ["/out", "/loop", "/missing", "/../main.py", "/up/main.py", "/srv/app/main.py/x"])
def test_what_is_outside_is_not_there(process: Path, path: str) -> None:
    with pytest.raises(OSError, match=r"Errno"):
        read(process, path)


def test_links_may_be_refused(process: Path) -> None:
    assert read(process, "/srv/app/main.py", links=False) == "first\nsecond\n"
    with pytest.raises(OSError, match="symbolic links"):
        read(process, "/app/main.py", links=False)


def test_no_descriptor_is_left_open(process: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - it opens none itself that lasts
    for path in ("/app/main.py", "/loop", "/missing"):
        try:
            read(process, path)
        except OSError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above


def test_source_lines_are_those_of_its_root(process: Path) -> None:
    sources = Sources(7, process.parent)
    sources.started = float("inf")
    assert not is_root_ours(process)
    assert [sources.find_line("/app/main.py", 2), sources.find_line("app/main.py", 1)] == ["second", "first"]
    assert sources.find_line("/out", 1) is None


def test_our_own_root_is_known() -> None:
    assert is_root_ours(Path(f"/proc/{os.getpid()}"))
