"""What pip installs from a wheel of this checkout works by itself, outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import lastwords
from interpreters import CHECKOUT
from needs import need

PARTS = (
    "lastwords/py.typed",
    "lastwords/gdb_scripts/unraisable.gdb",
    "lastwords/findings/monkey-patch-order.md",
)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source package, built from a copy of the checkout's tracked and new files."""
    folder = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CHECKOUT])
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel and its dependencies, fetched as a user would."""
    root = tmp_path_factory.mktemp("venv")
    _run([sys.executable, "-m", "venv", root])
    pip = [str(root / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, str(_wheel(dist))], capture_output=True, text=True, check=False, env=_clean())
    need(done.returncode == 0, f"a package index: {done.stderr[-300:]}")
    return root


def test_the_wheel_holds_all_parts(dist: Path) -> None:
    names = zipfile.ZipFile(_wheel(dist)).namelist()
    agent = [name for name in names if name.startswith("lastwords/agent/") and name.endswith(".py")]
    assert agent
    assert set(PARTS) <= set(names)
    assert [name for name in names if name.endswith("share/man/man1/lastwords.1")]
    strange = [name for name in names if not name.startswith(("lastwords/", f"lastwords-{lastwords.__version__}."))]
    assert strange == []


def test_the_source_package_builds_the_same_wheel(dist: Path) -> None:
    """`python -m build` made the wheel from the unpacked source package; here is what else that must hold."""
    with tarfile.open(next(dist.glob("*.tar.gz"))) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"pyproject.toml", "Makefile", "tools/lastwords/__init__.py", "tests/conftest.py"} <= names
    assert not [name for name in names if name.startswith((".venv", ".cache", "dist"))]


def test_the_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    done = _run([installed / "bin" / "lastwords", "--version"], cwd=tmp_path)
    assert done.stdout.startswith(f"lastwords {lastwords.__version__} ")
    as_module = _run([installed / "bin" / "python", "-m", "lastwords", "--version"], cwd=tmp_path)
    assert as_module.stdout == done.stdout


def test_installed_files_are_found_by_the_package(installed: Path, tmp_path: Path) -> None:
    codes = _run([installed / "bin" / "lastwords", "explain"], cwd=tmp_path).stdout.split()
    assert codes == sorted(page.stem for page in (CHECKOUT / "docs" / "findings").glob("*.md"))
    place = "import lastwords; print(lastwords.__file__)"
    said = _run([installed / "bin" / "python", "-c", place], cwd=tmp_path).stdout
    assert Path(said.strip()).is_relative_to(installed), "the checkout was imported, not the wheel"
    assert (installed / "share" / "man" / "man1" / "lastwords.1").is_file()


def test_the_installed_gdb_script_is_one_that_gdb_takes(installed: Path) -> None:
    need(shutil.which("gdb"), "gdb")
    script = next((installed / "lib").glob("python*/site-packages/lastwords/gdb_scripts/unraisable.gdb"))
    done = _run(["gdb", "-nx", "-batch", "-x", script])
    assert "Error" not in done.stderr
    assert "error" not in done.stderr


def test_the_man_page_is_what_the_help_says() -> None:
    check = [sys.executable, str(CHECKOUT / "tools" / "setup" / "man.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False, env=_clean())
    assert done.returncode == 0, f"the help has changed: make man\n{done.stderr}"


def test_roff_takes_the_man_page() -> None:
    groff = shutil.which("groff")
    if groff is None:  # not something that make sets up
        pytest.skip("no groff to check the man page with")
    done = _run([groff, "-man", "-z", "-ww", "-Tutf8", CHECKOUT / "man" / "lastwords.1"])
    assert done.stderr == ""


def _wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


def _clean() -> dict[str, str]:
    """The environment of a user: nothing leads a Python to the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _run(command: Sequence[str | Path], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_clean(), cwd=cwd)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done
