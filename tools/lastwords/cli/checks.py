"""What `doctor` says of the tools, of a process and of an interpreter. Each check is a pure function of facts."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture.which_gdb import INSTALL_GDB, find_fault
from lastwords.cli.check import Check
from lastwords.cli.check_cores import check_cores
from lastwords.cli.check_rights import check_attach, check_rights
from lastwords.cli.check_symbols import check_symbols
from lastwords.cli.machine import Interpreter, Machine, Target


def check_machine(machine: Machine) -> Iterator[Check]:
    """Everything that does not depend on a process."""
    yield Check("Python", "ok", f"{machine.python} at {machine.executable}")
    yield _gdb(machine)
    yield _drgn(machine)
    yield from check_rights(machine)
    yield from check_cores(machine.cores, machine.container, None)


def _gdb(machine: Machine) -> Check:
    gdb = machine.gdb
    if gdb is None:
        return Check("gdb", "missing", "not found on PATH; `run` needs it", INSTALL_GDB)
    fault = find_fault(gdb)
    if fault is not None:
        return Check("gdb", "missing", fault, INSTALL_GDB)
    return Check("gdb", "ok", f"{gdb.version} at {gdb.path}, its Python is {gdb.python}")


def _drgn(machine: Machine) -> Check:
    drgn = machine.drgn
    if drgn.version and not drgn.error:
        return Check("drgn", "ok", f"{drgn.version}: it unwinds C stacks, with what is inlined and lines")
    without = "C stacks are unwound by lastwords itself, from .eh_frame: no inlined frames"
    if drgn.error:
        fact = f"{drgn.version} is installed and cannot be imported ({drgn.error}); {without}"
        return Check("drgn", "note", fact, f"{machine.executable} -m pip install --force-reinstall drgn")
    return Check("drgn", "note", f"not installed; {without}", f"{machine.executable} -m pip install drgn")


def check_target(machine: Machine, target: Target) -> Iterator[Check]:
    """What a process is, what is known of its Python and its core, and whether lastwords may attach to it."""
    yield _process(target)
    yield from _python_checks(machine, target)
    yield from check_cores(target.cores, target.container, target.pid)
    yield check_attach(machine, target)


def _process(target: Target) -> Check:
    fact = f"{target.pid} is {target.name}: {' '.join(target.argv) or target.executable or '?'}"
    if len(target.ns_pids) > 1:
        fact += f"; it calls itself {target.ns_pids[-1]}"
    if target.container is None:
        return Check("process", "ok", fact)
    identity = f" {target.container.id}" if target.container.id else ""
    return Check("process", "ok", f"{fact}; in a container ({target.container.kind}{identity})")


def _python_checks(machine: Machine, target: Target) -> Iterator[Check]:
    if target.is_python is None:
        yield Check("Python", "note", "its memory map cannot be read from here, so that is not known")
    elif target.symbols is not None:
        yield Check("Python", "ok", f"a CPython: {target.symbols.path}", "", f"/proc/{target.pid}/maps")
        yield from check_symbols(target.symbols, machine.servers)
    else:
        yield Check("Python", "missing", "no CPython is mapped in it; lastwords reads nothing else")


def check_interpreter(interpreter: Interpreter, servers: str | None) -> Iterator[Check]:
    """What `run` and `trace` need of the interpreter that a program runs on. `servers`: DEBUGINFOD_URLS."""
    yield Check("target", "ok", f"CPython {interpreter.version} at {interpreter.path}")
    if interpreter.hunter:
        yield Check("hunter", "ok", f"{interpreter.hunter} in {interpreter.path}")
    else:
        wanted = "'hunter<3.4'" if interpreter.version.startswith("2.") else "hunter"
        mend = f"{interpreter.path} -m pip install {wanted}"
        yield Check("hunter", "note", f"not installed in {interpreter.path}: no trace of the shutdown", mend)
    yield from check_symbols(interpreter.symbols, servers)
