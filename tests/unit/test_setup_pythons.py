"""`make pythons`: what it says where it cannot, and what it made where it could."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from interpreters import BUILT, CHECKOUT, Interpreter, find_interpreters

SCRIPT = Path("tools") / "setup" / "pythons.py"


def _make_pythons(checkout: Path, *arguments: str, path: Path, ci: str = "") -> subprocess.CompletedProcess[str]:
    """The script in a checkout that has made nothing yet."""
    shutil.copytree(CHECKOUT / SCRIPT.parent, checkout / SCRIPT.parent)
    command = [sys.executable, str(checkout / SCRIPT), *arguments]
    env = {"PATH": str(path), "CI": ci}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_no_apt(tmp_path: Path) -> None:
    done = _make_pythons(tmp_path / "checkout", path=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "make pythons: CPython 3.13 to 3.15 come out of Debian's packages, and this machine has no apt-get and no "
        "dpkg-deb. The tests run with the interpreters that are there; add others with "
        "LASTWORDS_PYTHONS=/path/to/python:...\n"
    )


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_tests_go_on_without_them_but_not_under_ci(tmp_path: Path, ci: str, code: int) -> None:
    done = _make_pythons(tmp_path / "checkout", "--if-possible", path=tmp_path, ci=ci)
    assert done.returncode == code
    assert done.stderr.startswith("make pythons: ")


needs_keys = pytest.mark.skipif(
    not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists(), reason="no keys of Debian's archive here"
)


def _fake_apt(folder: Path, says_of_sources: str) -> None:
    """An apt whose own sources are as given, and that can fetch nothing."""
    script = (
        "#!/bin/sh\n"
        f'if [ "$1" = indextargets ]; then echo "{says_of_sources}"; exit 0; fi\n'
        "echo 'E: Failed to fetch http://nowhere/debian/InRelease'\n"
        "exit 100\n"
    )
    for tool in ("apt-get", "dpkg-deb"):
        (folder / tool).write_text(script)
        (folder / tool).chmod(0o755)


@needs_keys
def test_the_archive_cannot_be_reached(tmp_path: Path) -> None:
    _fake_apt(tmp_path, "http://nowhere/debian/")
    done = _make_pythons(tmp_path / "checkout", path=tmp_path)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("make pythons: apt-get update could not fetch from `deb [signed-by=")
    assert first.endswith(" http://nowhere/debian sid main`: E: Failed to fetch http://nowhere/debian/InRelease")
    assert second.endswith("or name a mirror: DEBIAN_MIRROR=http://... make pythons")


@needs_keys
def test_a_machine_that_fetches_from_no_debian(tmp_path: Path) -> None:
    _fake_apt(tmp_path, "http://nowhere/ubuntu/")
    done = _make_pythons(tmp_path / "checkout", path=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "make pythons: this machine's apt fetches from no Debian archive that could have CPython 3.13 to 3.15. "
        "Name one: DEBIAN_MIRROR=http://... make pythons\n"
    )


@pytest.mark.parametrize("built", [one for one in find_interpreters() if one.path.is_relative_to(BUILT)])
def test_it_runs_with_nothing_of_the_host(built: Interpreter) -> None:
    """Every file that it maps after using C libraries is of its own tree, so a debugger sees what Debian shipped."""
    question = "import ctypes, ssl, sqlite3; print(open('/proc/self/maps').read())"
    said = subprocess.run([built.path, "-I", "-c", question], capture_output=True, text=True, check=True).stdout
    mapped = {line.split(maxsplit=5)[5] for line in said.splitlines() if len(line.split(maxsplit=5)) == 6}
    files = {Path(one) for one in mapped if one.startswith("/") and not one.endswith(("locale-archive", ".cache"))}
    tree = BUILT / built.path.relative_to(BUILT).parts[0]
    assert len(files) > 5
    assert [one for one in files if not one.is_relative_to(tree) and "/locale/" not in str(one)] == []
    assert built.has("stripped", "static")
    assert os.access(built.path, os.X_OK)
