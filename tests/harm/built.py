"""Libraries in C that targets load: built where they are needed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness import TARGETS


def build_library(name: str, folder: Path) -> Path:
    """tests/targets/`name`.c as a library in this folder. Raises CalledProcessError."""
    path = folder / f"{name}.so"
    if not path.exists():
        flags = ["-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-pthread"]
        subprocess.run(["gcc", *flags, "-o", path, TARGETS / f"{name}.c", "-lutil", "-lrt"], check=True)
    return path
