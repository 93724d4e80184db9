"""Damaged core files: cut off, bits flipped, headers that lie."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

from deep.damage import RICH
from deep.fuzz import FAILURES_LIMIT, Fuzzed, run_case
from deep.host import Host
from deep.programs import render
from interpreters import Interpreter as Python
from lastwords import library
from lastwords.errors import LastwordsError

HEADERS = 16 << 10  # bytes: ELF header, program headers and the notes begin there


def make_core(python: Python, path: Path) -> None:
    """A core of a standing target, made by gdb."""
    with Host(python) as host:
        host.stand(render(RICH, python.version))
        gdb = ["gdb", "-nx", "-batch", "-p", str(host.pid), "-ex", f"generate-core-file {path}"]
        subprocess.run(gdb, capture_output=True, timeout=120, check=True)


def fuzz_cores(python: Python, cases: int, seed: int) -> Fuzzed:
    """`cases` damaged copies of one core, each read as `lastwords core` does."""
    found = Fuzzed(python.name, seed)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "core"
        make_core(python, path)
        library.load(path)  # untouched, it can be read
        original = path.read_bytes()
        for number in range(cases):
            chance = random.Random(f"{seed} {python.name} {number}")
            changed = _damage_in_place(path, original, chance)
            run_case(found, number, partial(_read, path))
            _restore(path, original, changed)
            if len(found.failures) >= FAILURES_LIMIT:
                break
    found.seconds = time.monotonic() - begun
    return found


def _damage_in_place(path: Path, original: bytes, chance: random.Random) -> list[int]:
    """Cut the file, or change some bytes, mostly in its headers. Returns the places that were changed."""
    with path.open("r+b") as file:
        if chance.random() < 0.2:
            file.truncate(chance.choice([chance.randrange(HEADERS), chance.randrange(len(original))]))
            return []
        limit = chance.choice([64, 2048, HEADERS, len(original)])
        places = [chance.randrange(limit) for _ in range(chance.randint(1, 8))]
        for at in places:
            file.seek(at)
            file.write(bytes([chance.choice([0, 0xFF, 0x7F, original[at] ^ 1 << chance.randrange(8)])]))
        return places


def _restore(path: Path, original: bytes, changed: list[int]) -> None:
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(memoryview(original)[file.tell() :])  # where it was cut off; no copy, whose memory would be counted
        for at in changed:
            file.seek(at)
            file.write(original[at : at + 1])


def _read(path: Path) -> str:
    try:
        library.load(path, locals=True)
    except LastwordsError:
        return "refused"
    return "read"
