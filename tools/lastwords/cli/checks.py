"""What `doctor` judges: facts about this machine and about one process. Each check is a pure function of facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lastwords.capture.permission import ALLOW_ATTACH, ALLOW_IN_CONTAINER, SYS_PTRACE, find_obstacles
from lastwords.capture.which_gdb import INSTALL_GDB, find_fault
from lastwords.cli.machine import Interpreter, Machine, Target


@dataclass(frozen=True)
class Check:
    """One line of `doctor`: what was looked at, the fact, whether it is in the way, and the command that mends it."""

    name: str
    state: Literal["ok", "missing", "note"]
    fact: str
    mend: str = ""


def check_machine(machine: Machine) -> Iterator[Check]:
    """Everything that does not depend on a process."""
    yield Check("Python", "ok", f"{machine.python} at {machine.executable}")
    yield _gdb(machine)
    yield _drgn(machine)
    yield from _ptrace(machine)
    yield _container(machine)


def _gdb(machine: Machine) -> Check:
    gdb = machine.gdb
    if gdb is None:
        return Check("gdb", "missing", "not found on PATH; `run` needs it", INSTALL_GDB)
    fault = find_fault(gdb)
    if fault is not None:
        return Check("gdb", "missing", fault, INSTALL_GDB)
    return Check("gdb", "ok", f"{gdb.version} at {gdb.path}, its Python is {gdb.python}")


def _drgn(machine: Machine) -> Check:
    if machine.drgn:
        return Check("drgn", "ok", machine.drgn)
    mend = f"{machine.executable} -m pip install drgn"
    return Check("drgn", "note", "not installed; C stacks then come from gdb alone", mend)


def _ptrace(machine: Machine) -> Iterator[Check]:
    scope, privileged = machine.ptrace_scope, machine.has_sys_ptrace
    if scope is None:
        yield Check("ptrace", "ok", "this kernel has no yama; the owner may trace")
    elif scope == 0:
        yield Check("ptrace", "ok", "yama's ptrace_scope is 0: the owner may trace")
    elif scope == 1:
        yield Check("ptrace", "ok", "yama's ptrace_scope is 1: `run` works, it asks the program for leave")
    elif scope == 2:
        yield _scope_2(privileged)
    else:
        fact = f"yama's ptrace_scope is {scope}: nobody may trace, and only a reboot changes that"
        yield Check("ptrace", "missing", fact, "remove kernel.yama.ptrace_scope from /etc/sysctl.d and reboot")
    if machine.seccomp:
        mode = {1: "strict", 2: "filter"}.get(machine.seccomp, "unknown")
        fact = f"mode {machine.seccomp} ({mode}); a container's filter may forbid ptrace"
        yield Check("seccomp", "note", fact, "" if privileged else ALLOW_IN_CONTAINER)
    else:
        yield Check("seccomp", "ok", "off")


def _scope_2(privileged: bool) -> Check:
    if privileged:
        return Check("ptrace", "ok", f"yama's ptrace_scope is 2, and lastwords has CAP_{SYS_PTRACE}")
    fact = f"yama's ptrace_scope is 2: only a process with CAP_{SYS_PTRACE} may trace, lastwords has it not"
    return Check("ptrace", "missing", fact, ALLOW_ATTACH)


def _container(machine: Machine) -> Check:
    capable = f"CAP_{SYS_PTRACE} {'is there' if machine.has_sys_ptrace else 'is not there'}"
    where = f"inside a container ({machine.container})" if machine.container else "no container"
    fine = machine.has_sys_ptrace or not machine.container
    return Check("container", "ok" if fine else "note", f"{where}; {capable}")


def check_target(machine: Machine, target: Target) -> Iterator[Check]:
    """Whether lastwords may attach to a process, and if not, why: the first reason in the order the kernel looks."""
    yield Check("process", "ok", f"{target.pid} is {target.name}: {' '.join(target.argv) or target.executable or '?'}")
    yield from _python_checks(target)
    yield _may_attach(machine, target)


def _python_checks(target: Target) -> Iterator[Check]:
    if target.is_python is None:
        yield Check("Python", "note", "its memory map cannot be read from here, so that is not known")
    elif target.is_python:
        yield Check("Python", "ok", f"a CPython: {target.image}")
        yield _symbols(target.image, target.debug_symbols)
    else:
        yield Check("Python", "missing", "no CPython is mapped in it; lastwords reads nothing else")


def check_interpreter(interpreter: Interpreter) -> Iterator[Check]:
    """What `run` and `trace` need of the interpreter that a program runs on."""
    yield Check("target", "ok", f"CPython {interpreter.version} at {interpreter.path}")
    if interpreter.hunter:
        yield Check("hunter", "ok", f"{interpreter.hunter} in {interpreter.path}")
    else:
        wanted = "'hunter<3.4'" if interpreter.version.startswith("2.") else "hunter"
        mend = f"{interpreter.path} -m pip install {wanted}"
        yield Check("hunter", "note", f"not installed in {interpreter.path}: no trace of the shutdown", mend)
    yield _symbols(interpreter.image, interpreter.debug_symbols)


def _symbols(image: str | None, found: bool | None) -> Check:
    if image is None or found is None:
        return Check("symbols", "note", "its file could not be looked at")
    if found:
        return Check("symbols", "ok", f"there are debug symbols of {image}")
    mend = "sudo apt-get install python3-dbg   (or: dnf debuginfo-install python3)"
    return Check("symbols", "note", f"no debug symbols of {image}: C functions by exported names only", mend)


def _may_attach(machine: Machine, target: Target) -> Check:
    obstacle = next(find_obstacles(machine, target), None)
    if obstacle is not None:
        return _no(obstacle.fact, obstacle.mend)
    if target.is_python is None:
        why = "for a reason that the kernel does not show (a security module, a process that is not dumpable)"
        return _no(f"{why}; its memory map is closed too", f"sudo lastwords doctor {target.pid}")
    return Check("attach", "ok", "allowed")


def _no(fact: str, mend: str) -> Check:
    return Check("attach", "missing", f"not allowed: {fact}", mend)


def format_checks(checks: list[Check]) -> Iterator[str]:
    """One line a check, its command below it."""
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        yield f"{check.state:<7} {check.name:<{width}}  {check.fact}"
        if check.mend:
            yield f"{'':<7} {'':<{width}}    {check.mend}"
