"""Debian's archive, as its signatures vouch for it: packages and sources, unpacked nowhere but where we say.

apt works on a state of its own under .cache/apt: it verifies the archive's signatures, asks for no rights, and leaves
the machine's packages alone. The mirror is the machine's own (or $DEBIAN_MIRROR).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PYTHONS = CHECKOUT / ".cache" / "pythons"
APT = CHECKOUT / ".cache" / "apt"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class PythonsError(Exception):
    """One message for the user."""


def end_with(make: Callable[[], None]) -> int:
    """The exit code of `make`: 1 if it failed, but 0, with `--if-possible` and outside CI, if that cannot be helped."""
    try:
        make()
    except PythonsError as error:
        sys.stderr.write(f"make pythons: {error}\n")
        return 0 if "--if-possible" in sys.argv and not os.environ.get("CI") else 1
    return 0


def check_machine() -> None:
    """Raises PythonsError where there is no apt, or no key to verify what it fetches."""
    lacking = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
    if lacking:
        raise PythonsError(
            f"CPython 3.13 to 3.15 come out of Debian's packages, and this machine has no {' and no '.join(lacking)}. "
            "The tests run with the interpreters that are there; add others with LASTWORDS_PYTHONS=/path/to/python:..."
        )
    if not KEYRING.exists():
        raise PythonsError(f"{KEYRING} is missing: Debian's signatures cannot be verified. "
                           "Install it: apt-get install debian-archive-keyring")  # fmt: skip


def update(suite: str, kind: str = "deb") -> None:
    """A fresh, verified index of what `suite` has of this kind: `deb` packages, or their sources, `deb-src`."""
    state = _state(suite, kind)
    for folder in ("lists/partial", "archives/partial", "preferences.d"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    mirror = os.environ.get("DEBIAN_MIRROR") or _machine_mirror()
    if mirror is None:
        raise PythonsError(
            "this machine's apt fetches from no Debian archive that could have CPython 3.13 to 3.15. "
            "Name one: DEBIAN_MIRROR=http://... make pythons"
        )
    (state / "sources.list").write_text(f"{kind} [signed-by={KEYRING}] {mirror} {suite} main\n")
    # a mirror may lag behind the days for which a moving suite's index is valid; signatures are checked all the same
    _apt(state, "update", "--error-on=any", "-o", "Acquire::Check-Valid-Until=false")


def _state(suite: str, kind: str) -> Path:
    return APT / (suite if kind == "deb" else f"{suite}-source")


def _machine_mirror() -> str | None:
    """Where this machine fetches Debian's packages, as its own sources say; None where it is not a Debian."""
    wanted = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    said = subprocess.run(["apt-get", *wanted], capture_output=True, text=True, check=False).stdout
    return next((uri.rstrip("/") for uri in said.split() if uri.rstrip("/").endswith("/debian")), None)


def unpack_packages(suite: str, packages: tuple[str, ...], tree: Path) -> None:
    """The packages and all that they need, the C library too, as a tree of files."""
    state = _state(suite, "deb")
    for old in (state / "archives").glob("*.deb"):
        old.unlink()
    _apt(state, "install", "--yes", "--download-only", "--no-install-recommends", *packages)
    for archive in sorted((state / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", archive, tree], check=True)


def unpack_alone(suite: str, packages: tuple[str, ...], tree: Path) -> None:
    """The packages, without anything that they need, as a tree of files."""
    state = _state(suite, "deb")
    folder = state / "archives" / "alone"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _apt(state, "download", *packages, folder=folder)
    for archive in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", archive, tree], check=True)


def download_source(suite: str, package: str) -> Path:
    """The upstream tar file of a source package, as `update(suite, "deb-src")` vouches for it."""
    state = _state(suite, "deb-src")
    folder = state / "archives" / package
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _apt(state, "source", "--download-only", package, folder=folder)
    return next(path for path in folder.glob("*.orig.tar.*") if path.suffix != ".asc")


def _apt(state: Path, *arguments: str, folder: Path = CHECKOUT) -> None:
    """apt-get on our own state. As root it stays root: its download user cannot enter a checkout in root's home."""
    places = {
        "Dir::State": state, "Dir::State::Lists": state / "lists", "Dir::State::status": state / "status",
        "Dir::Cache": state, "Dir::Etc::SourceList": state / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": state / "preferences.d", "APT::Sandbox::User": "root", "Debug::NoLocking": "1",
    }  # fmt: skip
    options = [word for name, value in places.items() for word in ("-o", f"{name}={value}")]
    command = ["apt-get", *options, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("E:", "W:"))]
        source = (state / "sources.list").read_text().strip()
        raise PythonsError(
            f"apt-get {arguments[0]} could not fetch from `{source}`: {' '.join(errors[:2])}\n"
            "Connect this machine to Debian's archive, or name a mirror: DEBIAN_MIRROR=http://... make pythons"
        )
