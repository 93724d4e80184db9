"""What DWARF told is kept for the same file alone; a cache that is damaged or shared is as if there was none."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lastwords.capture.memory import Range, ReadError
from lastwords.capture.procfs import Mapping, parse_maps
from lastwords.native import kept_lines
from lastwords.native.drgn_lines import Location
from lastwords.native.images import NativeImage
from lastwords.native.kept_lines import KeptLines

TOLD = [Location("inner", "a.c", 3, 1), Location("outer", "a.c", 7)]
Open = Callable[[], KeptLines]


class NoMemory:
    """What is in the file is not read from memory."""

    def read(self, address: int, size: int) -> bytes:
        raise ReadError(f"{size} bytes at {address:#x}")

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        return [None for _ in ranges]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LASTWORDS_CACHE")
    monkeypatch.setattr(kept_lines, "_drgn", lambda: "a drgn")
    return tmp_path / "lastwords" / "lines"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return Path(shutil.copy(Path(sys.executable).resolve(), tmp_path / "library"))


@pytest.fixture
def opened(library: Path) -> Open:
    (mapping,) = parse_maps(f"1000-2000 r-xp 00000000 00:00 1 {library}\n")
    return lambda: KeptLines(_image(mapping, library), None)


def _image(mapping: Mapping, library: Path) -> NativeImage:
    return NativeImage(str(library), [mapping], NoMemory(), lambda: library)


@pytest.fixture
def kept(cache: Path, opened: Open) -> Path:
    """The file in which something is kept."""
    lines = opened()
    assert lines.find(64) is None
    lines.add(64, TOLD)
    lines.add(65, [])
    lines.save()
    (file,) = cache.iterdir()
    return file


def test_what_was_told_is_there_for_the_next_run(kept: Path, opened: Open) -> None:
    lines = opened()
    assert lines.find(64) == TOLD
    assert lines.find(65) is None  # DWARF failed: it is asked again
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    lines.save()
    lines.add(1 << 40, [Location()])
    lines.save()
    assert opened().find(64) == TOLD
    assert opened().find(1 << 40) == [Location()]
    assert list(kept.parent.iterdir()) == [kept]


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("how", ["touched", "written", "other drgn", "other release", "no drgn", "off"])
def test_it_counts_for_the_same_file_drgn_and_release_alone(
    how: str, library: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened().find(64) == TOLD
    if how == "touched":
        library.chmod(0o700)
    elif how == "written":
        library.write_bytes(library.read_bytes()[:-1])
    elif how == "off":
        monkeypatch.setenv("LASTWORDS_CACHE", "off")
    elif how == "other release":
        monkeypatch.setattr(kept_lines, "__version__", "0")
    else:
        monkeypatch.setattr(kept_lines, "_drgn", lambda: "" if how == "no drgn" else "another")
    lines = opened()
    assert lines.find(64) is None
    lines.add(64, TOLD)
    lines.save()


def test_what_is_damaged_is_not_there(kept: Path, opened: Open) -> None:
    whole = kept.read_bytes()
    others = [b"", b"null", b"\xff" * 9, b'{"of":[],"lines":{}}', whole.replace(b'"lines":{', b'"lines":{"x":[],')]
    for content in [*others, *(whole[:size] for size in range(len(whole)))]:
        kept.write_bytes(content)
        assert opened().find(64) is None
    kept.unlink()
    kept.symlink_to("/dev/zero")
    assert opened().find(64) is None
    kept.unlink()
    os.mkfifo(kept)
    assert opened().find(64) is None


@pytest.mark.parametrize("how", ["mode", "link", "owner"])
def test_what_others_could_have_written_is_not_believed(
    how: str, kept: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = kept.parent
    if how == "mode":
        folder.chmod(0o770)
    elif how == "link":
        folder.rename(folder.with_name("elsewhere"))
        folder.symlink_to("elsewhere")
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    before = kept.read_bytes()
    lines = opened()
    assert lines.find(64) is None
    lines.add(66, TOLD)
    lines.save()
    assert kept.read_bytes() == before


def test_the_oldest_go(kept: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_lines, "FILES_LIMIT", 20)
    for number in range(40):
        other = kept.parent / str(number)
        other.touch()
        os.utime(other, (number, number))
    lines = opened()
    lines.add(66, TOLD)
    lines.save()
    left = {one.name for one in kept.parent.iterdir()}
    assert left == {kept.name, *(str(number) for number in range(23, 40))}


def test_one_that_cannot_be_written_is_not_kept(kept: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    lines = opened()
    lines.add(66, TOLD)
    monkeypatch.setattr(os, "rename", fail)
    lines.save()
    assert list(kept.parent.iterdir()) == [kept]
    assert opened().find(66) is None


def test_nothing_is_left_in_the_home_of_another_user(
    opened: Open, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    lines = opened()
    lines.add(66, TOLD)
    lines.save()
    assert not cache.parent.exists()


def test_without_a_home_nothing_is_kept(opened: Open, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/proc/nowhere")
    lines = opened()
    lines.add(66, TOLD)
    lines.save()
    assert opened().find(66) is None
    assert not cache.exists()
