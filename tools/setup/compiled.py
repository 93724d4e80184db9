"""CPythons that no package has, compiled from Debian's source of 3.13: `.cache/pythons/static3.13`, `nogil3.13`.

    static3.13   as standalone builds are (uv's, PyPI's): interpreter and extension modules in one file, stripped
    nogil3.13    the same, free-threaded: lastwords must know it, and refuse it

Made to be read, not to be fast: no optimisation that takes long, no modules that no test needs. Each finds its
standard library relative to its executable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from archive import PYTHONS, PythonsError, check_machine, download_source, end_with, update

SUITE, PACKAGE = "trixie", "python3.13"
LEFT_OUT = (
    "_bz2", "_codecs_cn", "_codecs_hk", "_codecs_iso2022", "_codecs_jp", "_codecs_kr", "_codecs_tw", "_curses",
    "_curses_panel", "_dbm", "_decimal", "_elementtree", "_gdbm", "_hashlib", "_lzma", "_multibytecodec", "_sqlite3",
    "_ssl", "_tkinter", "_uuid", "pyexpat", "readline",
)  # fmt: skip
OPTIONS = (
    "--quiet", "--prefix=/usr", "--disable-shared", "--disable-test-modules", "--without-ensurepip",
    "MODULE_BUILDTYPE=static", "OPT=-O1 -DNDEBUG", *(f"py_cv_module_{name}=n/a" for name in LEFT_OUT),
)  # fmt: skip
NOT_COPIED = ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "pydoc_data", "sqlite3", "__pycache__")


@dataclass(frozen=True)
class Build:
    """`name` of the tree, options of `configure` that make it what it is, and what follows `3.13` in its files."""

    name: str
    options: tuple[str, ...] = ()
    suffix: str = ""

    @property
    def home(self) -> Path:
        """The root of its tree."""
        return PYTHONS / self.name

    @property
    def executable(self) -> Path:
        """Where it will be."""
        return self.home / "usr" / "bin" / f"python3.13{self.suffix}"


BUILDS = (Build("static3.13"), Build("nogil3.13", ("--disable-gil",), "t"))


def make_missing() -> None:
    """All builds that are not there yet. Raises PythonsError."""
    missing = [build for build in BUILDS if not build.executable.exists()]
    if not missing:
        return
    check_machine()
    work = PYTHONS / ".compiled.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    source = unpack_source(work)
    for build in missing:
        compile_python(build, source, work / build.name)
        install_python(build, source, work / build.name)
        sys.stdout.write(f"made {build.executable}\n")
    shutil.rmtree(work)


def unpack_source(work: Path) -> Path:
    """CPython's source, below `work`. Raises PythonsError."""
    update(SUITE, "deb-src")
    with tarfile.open(download_source(SUITE, PACKAGE)) as archive:
        archive.extractall(work / "source", filter="data")
    return next((work / "source").iterdir())


def compile_python(build: Build, source: Path, folder: Path) -> None:
    """In `folder`; what `configure` found out about the machine is kept beside it for the next build.

    Raises PythonsError.
    """
    folder.mkdir()
    cache = f"--cache-file={folder.parent / 'config.cache'}"
    _run([source / "configure", cache, *OPTIONS, *build.options], folder)
    _run(["make", "--silent", f"--jobs={os.cpu_count()}", "python", "pybuilddir.txt"], folder)


def _run(command: list[str | Path], folder: Path) -> None:
    """Without what an outer make or a user's shell would tell the compiler."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    log = PYTHONS / ".compiled.log"
    with log.open("ab") as output:
        done = subprocess.run(command, cwd=folder, env=env, stdout=output, stderr=output, check=False)
    if done.returncode:
        said = log.read_text(errors="replace").splitlines()[-3:]
        raise PythonsError(f"CPython does not compile here: {Path(command[0]).name} ended with {done.returncode}\n"
                           + "\n".join(said) + f"\nall that it said: {log}")  # fmt: skip


def install_python(build: Build, source: Path, folder: Path) -> None:
    """The executable, stripped, beside the standard library; `lib-dynload` is what it knows its place by."""
    tree = folder / "tree"
    library = tree / "usr" / "lib" / f"python3.13{build.suffix}"
    shutil.copytree(source / "Lib", library, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (library / "lib-dynload").mkdir()
    for config in (folder / (folder / "pybuilddir.txt").read_text()).glob("_sysconfigdata*.py"):
        shutil.copy(config, library)
    executable = tree / build.executable.relative_to(build.home)
    executable.parent.mkdir()
    _run(["strip", "--strip-all", "-o", executable, folder / "python"], folder)
    shutil.rmtree(build.home, ignore_errors=True)
    tree.rename(build.home)


if __name__ == "__main__":
    sys.exit(end_with(make_missing))
