"""Which gdb there is, and whether it can do what lastwords needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import msgspec

ASK = "import sys, gdb; print('|'.join([gdb.VERSION, sys.version.split()[0]]))"
OLDEST_GDB = 9
INSTALL_GDB = "sudo apt-get install gdb   (or: dnf install gdb, apk add gdb)"


class Gdb(msgspec.Struct, frozen=True):
    """A gdb that was started and asked. `python` is None where it was built without; `error` says what failed."""

    path: str
    version: str | None = None
    python: str | None = None
    error: str | None = None

    @property
    def major(self) -> int | None:
        """The number before the first dot of its version, or None."""
        found = re.match(r"\d+", self.version or "")
        return int(found[0]) if found else None


def find_gdb(path: str | None = None) -> Gdb | None:
    """Starts the gdb of PATH (or the one given) and asks for its versions; None where there is none."""
    found = shutil.which(path or "gdb")
    if found is None:
        return None
    asked = _start(found, "-batch", "-ex", f"python {ASK}")
    if asked.error or "|" not in asked.output:
        return _ask_plainly(found)
    version, python = asked.output.strip().splitlines()[-1].split("|")
    return Gdb(found, version, python)


def find_fault(gdb: Gdb) -> str | None:
    """What is wrong with a gdb, as a fact with its value; None if nothing is."""
    if gdb.error:
        return f"{gdb.path} does not start: {gdb.error}"
    if gdb.python is None:
        return f"{gdb.version} at {gdb.path} was built without Python"
    if gdb.major is not None and gdb.major < OLDEST_GDB:
        return f"{gdb.version} at {gdb.path} is older than {OLDEST_GDB}"
    return None


class _Answer(msgspec.Struct, frozen=True):
    output: str
    error: str | None = None


def _start(*command: str) -> _Answer:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace", env=_clean(), timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _Answer("", str(error))
    return _Answer(done.stdout, (done.stderr.strip() or str(done.returncode)) if done.returncode else None)


def _ask_plainly(path: str) -> Gdb:
    """For a gdb without Python: the first line of `gdb --version` ends in the number."""
    asked = _start(path, "--version")
    first = asked.output.splitlines()[:1]
    version = first[0].split()[-1] if first and first[0].split() else None
    return Gdb(path, version, None, asked.error)


def _clean() -> dict[str, str]:
    """The environment without the program's PYTHON* settings: gdb's own Python would take them for its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
