"""doctor: every obstacle is named with its value and its remedy; and the readers of those facts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from lastwords.cli import machine as facts
from lastwords.cli import main
from lastwords.cli.checks import Check, check_interpreter, check_machine, check_target, format_checks
from lastwords.cli.machine import Interpreter, Machine, Target, read_interpreter, read_machine, read_target
from lastwords.cli.surroundings import Gdb, find_gdb
from lastwords.errors import TargetError

GDB = Gdb("/usr/bin/gdb", "13.1", "3.11.2")
MACHINE = Machine(
    python="3.12.1",
    executable="/venv/bin/python",
    gdb=GDB,
    drgn="0.3.0",
    ptrace_scope=1,
    effective_uid=1000,
    has_sys_ptrace=False,
    permitted=0,
    seccomp=0,
    container=None,
)
TARGET = Target(
    pid=4711,
    name="python3",
    argv=("python3", "app.py"),
    executable="/usr/bin/python3.12",
    uid=1000,
    effective_uid=1000,
    ppid=1,
    tracer_pid=0,
    is_zombie=False,
    is_child=False,
    permitted=0,
    other_user_namespace=False,
    is_python=True,
    image="/usr/lib/libpython3.12.so.1.0",
    debug_symbols=True,
)
INTERPRETER = Interpreter("/usr/bin/python3", "3.12.1", "3.9.0", "/usr/bin/python3.12", True)


def named(checks: Iterable[Check], name: str) -> Check:
    return {check.name: check for check in checks}[name]


def attach(machine: Machine, target: Target) -> Check:
    return named(check_target(machine, target), "attach")


def test_a_good_machine_misses_nothing() -> None:
    assert {check.state for check in check_machine(MACHINE)} == {"ok"}


@pytest.mark.parametrize(
    ("gdb", "fact"),
    [
        (None, "not found on PATH; `run` needs it"),
        (replace(GDB, python=None), "13.1 at /usr/bin/gdb was built without Python"),
        (replace(GDB, version="7.11"), "7.11 at /usr/bin/gdb is older than 9"),
        (replace(GDB, error="no libipt.so.2"), "/usr/bin/gdb does not start: no libipt.so.2"),
    ],
)
def test_a_gdb_that_does_not_do(gdb: Gdb | None, fact: str) -> None:
    check = named(check_machine(replace(MACHINE, gdb=gdb)), "gdb")
    assert (check.state, check.fact) == ("missing", fact)
    assert "install gdb" in check.mend


def test_a_missing_drgn_is_a_note_with_its_command() -> None:
    check = named(check_machine(replace(MACHINE, drgn=None)), "drgn")
    assert (check.state, check.mend) == ("note", "/venv/bin/python -m pip install drgn")


@pytest.mark.parametrize(
    ("scope", "privileged", "state"),
    [(None, False, "ok"), (0, False, "ok"), (1, False, "ok"), (2, False, "missing"), (2, True, "ok"),
     (3, False, "missing"), (3, True, "missing")],
)  # fmt: skip
def test_yama(scope: int | None, privileged: bool, state: str) -> None:
    check = named(check_machine(replace(MACHINE, ptrace_scope=scope, has_sys_ptrace=privileged)), "ptrace")
    assert check.state == state
    assert scope is None or f"ptrace_scope is {scope}" in check.fact
    assert bool(check.mend) == (state == "missing")


def test_a_container_without_the_capability_is_told_how_to_get_it() -> None:
    checks = list(check_machine(replace(MACHINE, container="Docker", seccomp=2)))
    assert named(checks, "container").fact == "inside a container (Docker); CAP_SYS_PTRACE is not there"
    assert named(checks, "seccomp").mend == "docker run --cap-add=SYS_PTRACE ..."


@pytest.mark.parametrize(
    ("machine", "target", "fact"),
    [
        ({}, {"tracer_pid": 99}, "process 99 traces it already (TracerPid), and there can be one only"),
        ({}, {"is_zombie": True}, "it is a zombie: it has ended and waits for its parent"),
        ({"ptrace_scope": 3, "has_sys_ptrace": True}, {}, "yama's ptrace_scope is 3: nobody may trace"),
        ({}, {"uid": 33}, "it belongs to user 33, lastwords runs as user 1000 without CAP_SYS_PTRACE"),
        ({}, {"permitted": 1 << 10, "is_child": True}, "it has capabilities (0x400) that lastwords has not"),
        ({"ptrace_scope": 2}, {}, "yama's ptrace_scope is 2: only CAP_SYS_PTRACE may trace"),
        ({}, {}, "yama's ptrace_scope is 1: only children may be traced, and it is none"),
        ({"ptrace_scope": 0}, {"other_user_namespace": True}, "it is in another user namespace"),
    ],
)
def test_why_attaching_is_not_allowed(machine: dict[str, object], target: dict[str, object], fact: str) -> None:
    check = attach(replace(MACHINE, **machine), replace(TARGET, **target))
    assert (check.state, check.fact) == ("missing", f"not allowed: {fact}")
    assert check.mend


@pytest.mark.parametrize(
    ("machine", "target"),
    [
        ({"ptrace_scope": 0}, {}),
        ({"ptrace_scope": None}, {}),
        ({}, {"is_child": True}),
        ({"ptrace_scope": 2, "has_sys_ptrace": True}, {"uid": 33, "permitted": 1 << 10}),
    ],
)
def test_attaching_is_allowed(machine: dict[str, object], target: dict[str, object]) -> None:
    check = attach(replace(MACHINE, **machine), replace(TARGET, **target))
    assert check == Check("attach", "ok", "allowed")


def test_a_closed_memory_map_is_no_leave_to_attach() -> None:
    target = replace(TARGET, is_python=None, is_child=True)
    assert attach(MACHINE, target).state == "missing"


def test_what_is_no_python_is_said_to_be_none() -> None:
    assert named(check_target(MACHINE, replace(TARGET, is_python=False)), "Python").state == "missing"


def test_hunter_and_symbols_of_an_interpreter() -> None:
    assert {check.state for check in check_interpreter(INTERPRETER)} == {"ok"}
    without = replace(INTERPRETER, hunter=None, debug_symbols=False)
    assert named(check_interpreter(without), "hunter").mend == "/usr/bin/python3 -m pip install hunter"
    assert named(check_interpreter(without), "symbols").state == "note"
    old = replace(without, version="2.7.18")
    assert named(check_interpreter(old), "hunter").mend == "/usr/bin/python3 -m pip install 'hunter<3.4'"


def test_the_lines() -> None:
    lines = list(
        format_checks([Check("gdb", "missing", "not found", "apt-get install gdb"), Check("ptrace", "ok", "x")])
    )
    assert lines == ["missing gdb     not found", "                  apt-get install gdb", "ok      ptrace  x"]


def test_our_own_process_as_the_kernel_shows_it() -> None:
    machine, target = read_machine(), read_target(os.getpid())
    status = psutil.Process()
    assert machine.effective_uid == os.geteuid()
    assert (target.pid, target.name, target.ppid) == (os.getpid(), status.name(), os.getppid())
    assert target.is_python and target.image
    assert target.uid == os.getuid()
    assert not target.other_user_namespace


def record(root: Path, scope: int, capabilities: int) -> Path:
    """A /proc with our own process in it, as another kernel would show it."""
    (root / "sys/kernel/yama").mkdir(parents=True)
    (root / "sys/kernel/yama/ptrace_scope").write_text(f"{scope}\n")
    own = root / str(os.getpid())
    own.mkdir()
    (own / "status").write_text(f"CapPrm:\t{capabilities:016x}\nCapEff:\t{capabilities:016x}\nSeccomp:\t2\n")
    return root


@pytest.mark.parametrize(("scope", "capabilities"), [(0, 0), (1, 1 << 19), (2, 0), (3, (1 << 19) | 1)])
def test_a_recorded_machine(tmp_path: Path, scope: int, capabilities: int) -> None:
    (tmp_path / ".dockerenv").touch()
    machine = read_machine(record(tmp_path / "proc", scope, capabilities), tmp_path)
    assert machine.ptrace_scope == scope
    assert machine.has_sys_ptrace == bool(capabilities & 1 << 19)
    assert (machine.permitted, machine.seccomp, machine.container) == (capabilities, 2, "Docker")


def test_no_such_process() -> None:
    with pytest.raises(TargetError, match="there is no process 4194304"):
        read_target(4194304)


def test_this_interpreter_is_read() -> None:
    found = read_interpreter(sys.executable)
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.image and found.debug_symbols is not None


def fake_gdb(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_gdbs_of_all_kinds(tmp_path: Path) -> None:
    assert find_gdb(str(tmp_path / "none")) is None
    plain = fake_gdb(tmp_path / "plain", 'case "$1" in --version) echo "GNU gdb (GDB) 12.1";; *) exit 1;; esac')
    assert find_gdb(plain) == Gdb(plain, "12.1", None)
    broken = find_gdb(fake_gdb(tmp_path / "broken", "echo no libipt >&2; exit 127"))
    assert broken is not None and broken.error == "no libipt"


def test_gdb_is_asked_without_the_programs_python_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    asked = fake_gdb(tmp_path / "gdb", 'echo "13.1|${PYTHONHOME-none}"')
    assert find_gdb(asked) == Gdb(asked, "13.1", "none")


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "find_gdb", lambda: GDB)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        code = main(["doctor", str(child.pid)])
        assert child.stdin is not None
        child.communicate(b"\n")
    text = capsys.readouterr().out
    assert f"{child.pid} is " in text
    assert code == (4 if "\nmissing" in text else 0)
