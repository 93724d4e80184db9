"""`make matrix`: every CPython that is here x each way to read it, from the run that it makes.

    live     `lastwords attach`: held still for milliseconds
    gdb      the same process while gdb holds it
    gcore    a core file that gdb writes of it
    core     the one that the kernel writes when a signal ends it

`ok`: the versions, modules, threads, stacks, locks, waits and holds that lastwords reads from outside are those that
the process tells of itself (tests/targets/matrix_describes.py); otherwise the cell names what differs. `refused`:
lastwords says by name that it does not read this one, and it must not. `no stacks`: gdb 13 writes zeros in place of
the stacks of glibc 2.42 and newer; lastwords says so, and the rest is right. `-`: cannot be had on this machine.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import lastwords
from dumps import GCORE, gdb_core, kernel_core
from harness import TARGETS, Target, running, wait_until_at_rest
from interpreters import Interpreter, find_interpreters, find_pypy
from lastwords.capture import procfs
from lastwords.errors import LastwordsError, TargetError
from lastwords.examine.stacks import NOT_HELD
from lastwords.frames import python_frames
from lastwords.model import Report, Thread, WaitsFor

Facts = dict[str, Any]
Read = Callable[[Target, Path], Report]
ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}  # gcore writes the reserved arenas of threads, 64 MB each
GOOD = {"ok", "refused", "no stacks", "-"}


def main() -> int:
    """Print the table; 0 if no cell names a difference."""
    columns = ("python", "release", "libpython", "executable", "symbols", *WAYS)
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    is_good = True
    for name, kind, cells in _rows():
        row = (name, *kind, *(cells.get(way, "") for way in WAYS))
        print(f"| {' | '.join(row)} |", flush=True)
        is_good &= set(cells.values()) <= GOOD
    return 0 if is_good else 1


def has_gdb() -> bool:
    """Whether there is one on PATH."""
    return shutil.which("gdb") is not None


def _rows() -> Iterator[tuple[str, tuple[str, ...], dict[str, str]]]:
    for one in find_interpreters(extra=True):
        yield one.name, describe(one), examine(one.path, is_read=one.has("!free_threaded"))
    if pypy := find_pypy():
        yield pypy.name, ("PyPy", "", "", ""), examine(pypy, is_read=False)


def describe(one: Interpreter) -> tuple[str, ...]:
    """What makes it another build."""
    symbols = "DWARF" if one.has("debug_symbols") else "symtab" if one.has("symbols") else "stripped"
    release = ".".join(map(str, one.version)) + " free-threaded" * one.has("free_threaded")
    return release, "shared" if one.has("shared") else "static", "PIE" if one.has("pie") else "no PIE", symbols


def examine(python: Path, *, is_read: bool = True) -> dict[str, str]:
    """One target, read in each way: the cells of its row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running([python, TARGETS / "matrix_describes.py"], env=ENVIRONMENT, cwd=folder) as target:
            facts = ask(target)
            # gdb would write all gigabytes that these have reserved, to have them refused once more
            ways = {way: read for way, read in WAYS.items() if is_read or way != "gcore"}
            return {way: judge(read, target, folder, facts, is_read=is_read) for way, read in ways.items()}


def ask(target: Target) -> Facts:
    """What the target says of itself, when all its threads wait again."""
    target.wait_for()
    wait_until_at_rest(target.pid)
    target.send_line()
    facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
    wait_until_at_rest(target.pid)
    return dict(facts)


def read_live(target: Target, _: Path) -> Report:
    """By `attach`."""
    return lastwords.attach(target.pid)


def read_held(target: Target, _: Path) -> Report:
    """While gdb holds it."""
    with held_by_gdb(target.pid):
        return lastwords.attach(target.pid)


def read_gcore(target: Target, folder: Path) -> Report:
    """From a core that gdb writes."""
    return lastwords.load(gdb_core(target.pid, folder / "gcore"))


def read_core(target: Target, folder: Path) -> Report:
    """From a core that the kernel writes: it is the target's end."""
    return lastwords.load(kernel_core(target, folder))


WAYS: dict[str, Read] = {"live": read_live, "gdb": read_held, "gcore": read_gcore, "core": read_core}


@contextmanager
def held_by_gdb(pid: int) -> Iterator[Target]:
    """A gdb that has stopped the process, and lets it go in the end."""
    with running(["gdb", "-nx", "-q", *GCORE, "-p", str(pid)]) as gdb:
        gdb.send_line("echo \\nholds\\n")
        gdb.wait_for("holds")
        assert procfs.read_status(pid).state == "t", gdb.describe()
        yield gdb
        gdb.send_line("detach")
        gdb.send_line("quit")
        gdb.wait()


def judge(read: Read, target: Target, folder: Path, facts: Facts, *, is_read: bool) -> str:
    """The text of a cell."""
    try:
        report = read(target, folder)
    except TargetError as error:
        is_by_name = "is free-threaded CPython" in error.fact or "is PyPy" in error.fact
        return "refused" if is_by_name and not is_read else f"error: {error.fact}"
    except LastwordsError as error:
        return f"error: {error.fact}"
    except pytest.skip.Exception:
        return "-"
    found = find_facts(report, set(facts["stacks"]))
    if any("zeros in place of the stack" in problem for problem in report.moments[0].capture.problems):
        facts, found = forget_stacks(facts), forget_stacks(found)
        return "no stacks" if not (differences := compare(found, facts)) else f"no stacks, {differences}"
    return "ok" if not (differences := compare(found, facts)) else differences


def compare(found: Facts, facts: Facts) -> str:
    """What is not as the process says; "" if all is."""
    names = [name for name, value in facts.items() if found[name] != value]
    return f"differs: {', '.join(names)}" if names else ""


def forget_stacks(facts: Facts) -> Facts:
    """What is known without the threads' stacks."""
    return {name: value for name, value in facts.items() if name not in ("stacks", "waits", "holds")}


def find_facts(report: Report, idents: set[str]) -> Facts:
    """The report in the form of the target's own facts; `idents` are the threads that it tells of."""
    process = report.processes[0]
    told = {str(thread.ident): thread for thread in report.threads if str(thread.ident) in idents}
    addresses = {one.id: one.address for one in report.objects}
    return {
        "version": process.python.version if process.python else None,
        "build": process.python.build if process.python else None,
        "modules": process.modules,
        "stacks": {ident: _stack(thread) for ident, thread in told.items()},
        "threads": {str(one.ident): [one.name, one.daemon] for one in report.threads},
        "locks": {str(one.address): [one.kind, one.locked, one.owner_ident] for one in report.objects},
        "waits": {ident: _wait(thread.waits_for, addresses) for ident, thread in told.items()},
        "holds": {ident: [addresses[one] for one in thread.holds] for ident, thread in told.items()},
    }


def _stack(thread: Thread) -> list[object]:
    told = python_frames(thread.stack)
    frames: list[object] = [[one.file, one.line, one.function, one.qualname, one.column] for one in told]
    is_whole = thread.error is None or thread.error.startswith(NOT_HELD)  # that is of its C stack alone
    return frames if is_whole else [*frames, thread.error]


def _wait(wait: WaitsFor | None, addresses: dict[str, int | None]) -> list[object] | None:
    return [wait.kind, addresses.get(wait.target or "")] if wait else None


if __name__ == "__main__":
    if not has_gdb():
        sys.exit("make matrix: there is no gdb here, and it takes one: apt-get install gdb")
    sys.exit(main())
