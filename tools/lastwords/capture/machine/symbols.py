"""Which symbols there are of a CPython, where they lie, and who built it: what decides how to get the rest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from lastwords.capture.elf import ElfFile
from lastwords.capture.machine.distribution import Distribution, read_distribution

BUILD_IDS = "usr/lib/debug/.build-id"
_STANDALONE = re.compile(r"/c?python-\d+\.\d+\.\d+[^/]*-linux-[^/]*/")  # directories of python-build-standalone
_RELEASE = re.compile(r"python(\d\.\d+)")


class Symbols(msgspec.Struct, frozen=True):
    """Of one ELF file. debug_file: where DWARF of its build-id lies, None where it lies nowhere known.

    path: as the process that has it mapped calls it
    builder: "conda", "python-build-standalone", "pyenv", "nix", "/usr/local", None for a distribution's or unknown
    release: "3.11", by the file's name
    """

    path: str
    build_id: str | None
    has_dwarf: bool
    has_symtab: bool
    debug_file: str | None
    builder: str | None
    release: str | None
    distribution: Distribution | None

    @property
    def is_complete(self) -> bool:
        """Whether debug information of it is at hand."""
        return self.has_dwarf or self.debug_file is not None


def read_symbols(path: str, elf: ElfFile, directory: Path, environment: Mapping[str, str] | None = None) -> Symbols:
    """What there is of the file that the process of `directory`, a /proc/PID, calls `path`."""
    root = directory / "root"
    release = _RELEASE.search(PurePosixPath(path).name)
    return Symbols(
        path=path,
        build_id=elf.build_id,
        has_dwarf=elf.has_dwarf,
        has_symtab=elf.has_symtab,
        debug_file=_find_debug_file(elf.build_id, root, os.environ if environment is None else environment),
        builder=_find_builder(path, root),
        release=release.group(1) if release else None,
        distribution=read_distribution(directory),
    )


def _find_debug_file(build_id: str | None, root: Path, environment: Mapping[str, str]) -> str | None:
    if build_id is None:
        return None
    name = Path(BUILD_IDS) / build_id[:2] / f"{build_id[2:]}.debug"
    roots = dict.fromkeys((root, Path("/")))
    files = [*(one / name for one in roots), *(one / build_id / "debuginfo" for one in _find_caches(environment))]
    return next((str(file) for file in files if _is_file(file)), None)


def _is_file(file: Path) -> bool:
    try:
        return file.is_file() and file.stat().st_size > 0  # debuginfod notes with an empty file that there is none
    except OSError:
        return False


def _find_caches(environment: Mapping[str, str]) -> Iterator[Path]:
    """Where debuginfod's client keeps what it fetched (debuginfod_find_debuginfo(3))."""
    home = Path(environment.get("HOME") or "/nonexistent")
    named = environment.get("DEBUGINFOD_CACHE_PATH")
    general = environment.get("XDG_CACHE_HOME")
    if named:
        yield Path(named)
    yield (Path(general) if general else home / ".cache") / "debuginfod_client"
    yield home / ".debuginfod_client_cache"


def _find_builder(path: str, root: Path) -> str | None:
    if _STANDALONE.search(path) or "/uv/python/" in path:
        return "python-build-standalone"
    if "/.pyenv/versions/" in path:
        return "pyenv"
    if path.startswith("/nix/store/"):
        return "nix"
    if any(_exists(root / directory.lstrip("/") / "conda-meta") for directory in _parents(path)):
        return "conda"
    return "/usr/local" if path.startswith("/usr/local/") else None


def _parents(path: str) -> Sequence[str]:
    """The directories that may be the prefix of `PREFIX/bin/python` and `PREFIX/lib/libpython`."""
    return [str(parent) for parent in PurePosixPath(path).parents][:2]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
