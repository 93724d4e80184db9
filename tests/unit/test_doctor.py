"""doctor: every fact is judged, named with its value and its source, and mended by a command that fits the place.

tests/golden/doctor/NAME.txt is what is printed of a whole machine or process; LASTWORDS_GOLDEN=write makes them anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from lastwords.capture.machine.capabilities import ALL, SYS_PTRACE, Rights
from lastwords.capture.machine.container import Container
from lastwords.capture.machine.core_pattern import CoreSettings
from lastwords.capture.machine.distribution import Distribution
from lastwords.capture.machine.namespaces import FIRST_PID_NAMESPACE, FIRST_USER_NAMESPACE, Namespaces
from lastwords.capture.machine.symbols import Symbols
from lastwords.capture.machine.tried import Access
from lastwords.cli import machine as facts
from lastwords.cli import main
from lastwords.cli.check import Check, format_checks
from lastwords.cli.check_cores import check_cores
from lastwords.cli.check_rights import find_missing_flags
from lastwords.cli.check_symbols import check_symbols
from lastwords.cli.checks import check_interpreter, check_machine, check_target
from lastwords.cli.machine import Interpreter, Machine, Target, read_interpreter, read_machine, read_target
from lastwords.cli.surroundings import Drgn, Gdb, find_gdb
from lastwords.errors import TargetError

GOLDEN = Path(__file__).parents[1] / "golden" / "doctor"
DOCKER_CAPABILITIES = 0xA80425FB  # what docker leaves to root
GDB = Gdb("/usr/bin/gdb", "13.1", "3.11.2")
NO_RIGHTS = Rights(effective=0, permitted=0, bounding=ALL, no_new_privileges=False, seccomp=0, label=None)
AT_HOME = Namespaces(FIRST_PID_NAMESPACE, FIRST_USER_NAMESPACE, True, 250, ((0, 0, 4294967295),))
CORES = CoreSettings(pattern="core.%p", uses_pid=False, limit=None, hard=None, directory="/srv/app")
MACHINE = Machine(
    python="3.12.1",
    executable="/venv/bin/python",
    gdb=GDB,
    drgn=Drgn("0.3.0"),
    ptrace_scope=1,
    effective_uid=1000,
    has_sys_ptrace=False,
    permitted=0,
    seccomp=0,
    rights=NO_RIGHTS,
    namespaces=AT_HOME,
    calls={"ptrace": None, "process_vm_readv": None},
    container=None,
    cores=CORES,
    servers=None,
)
# As `docker run lastwords doctor` finds itself, with docker's own defaults.
DOCKER_RIGHTS = replace(NO_RIGHTS, effective=DOCKER_CAPABILITIES, bounding=DOCKER_CAPABILITIES, seccomp=2)
IN_DOCKER = replace(
    MACHINE,
    ptrace_scope=None,
    effective_uid=0,
    permitted=DOCKER_CAPABILITIES,
    seccomp=2,
    rights=replace(DOCKER_RIGHTS, label="docker-default (enforce)"),
    namespaces=replace(AT_HOME, pid="pid:[4026532500]", processes=2),
    container=Container("Docker", "/.dockerenv"),
    cores=replace(CORES, limit=0),
)
GRANTED = DOCKER_CAPABILITIES | SYS_PTRACE
SIDECAR = replace(
    IN_DOCKER,
    has_sys_ptrace=True,
    permitted=GRANTED,
    rights=replace(IN_DOCKER.rights, effective=GRANTED, bounding=GRANTED),
    namespaces=replace(IN_DOCKER.namespaces, began_here=False, processes=5),
)
IN_KUBERNETES = replace(
    IN_DOCKER,
    effective_uid=1000,
    permitted=0,
    rights=replace(DOCKER_RIGHTS, effective=0, no_new_privileges=True),
    container=Container("Kubernetes", "/var/run/secrets/kubernetes.io"),
)
DEBIAN = Distribution(("debian",), "Debian GNU/Linux 12 (bookworm)")
SYMBOLS = Symbols(
    path="/usr/bin/python3.11",
    build_id="5f0c1a" * 6 + "abcd",
    has_dwarf=True,
    has_symtab=True,
    debug_file=None,
    builder=None,
    release="3.11",
    distribution=DEBIAN,
)
STRIPPED = replace(SYMBOLS, has_dwarf=False, has_symtab=False)
TARGET = Target(
    pid=4711,
    name="python3",
    argv=("python3", "app.py"),
    executable="/usr/bin/python3.11",
    ns_pids=(4711,),
    access=Access("process_vm_readv"),
    closed=(),
    label=None,
    container=None,
    cores=CORES,
    uid=1000,
    effective_uid=1000,
    ppid=1,
    tracer_pid=0,
    is_zombie=False,
    is_child=False,
    permitted=0,
    other_user_namespace=False,
    is_python=True,
    symbols=SYMBOLS,
)
REFUSED = replace(TARGET, access=Access(None, "EPERM"))
INTERPRETER = Interpreter("/usr/bin/python3", "3.12.1", "3.9.0", SYMBOLS)


def named(checks: Iterable[Check], name: str) -> Check:
    return {check.name: check for check in checks}[name]


def attach(machine: Machine, target: Target) -> Check:
    return named(check_target(machine, target), "attach")


def compare(name: str, checks: Iterator[Check]) -> None:
    text = "".join(f"{line}\n" for line in format_checks(list(checks)))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


MACHINES = {
    "machine": MACHINE,
    "machine_strict": replace(
        MACHINE, ptrace_scope=3, gdb=None, drgn=Drgn("0.3.0", "no libelf.so.1"), cores=replace(CORES, pattern="")
    ),
    "machine_root": replace(MACHINE, effective_uid=0, has_sys_ptrace=True, rights=replace(NO_RIGHTS, effective=ALL)),
    "docker": IN_DOCKER,
    "docker_filtered": replace(IN_DOCKER, calls={"ptrace": "EPERM", "process_vm_readv": "ENOSYS"}),
    "docker_20": replace(IN_DOCKER, calls={"ptrace": None, "process_vm_readv": "EPERM"}),
    "docker_user": replace(
        SIDECAR, effective_uid=1000, has_sys_ptrace=False, rights=replace(SIDECAR.rights, effective=0)
    ),
    "sidecar": SIDECAR,
    "kubernetes": IN_KUBERNETES,
    "rootless": replace(
        SIDECAR,
        container=Container("Podman", "/run/.containerenv"),
        namespaces=replace(SIDECAR.namespaces, user="user:[4026532600]", uid_map=((0, 1000, 1), (1, 100000, 65536))),
    ),
}  # fmt: skip
TARGETS: dict[str, tuple[Machine, Target]] = {
    "target": (replace(MACHINE, ptrace_scope=0), TARGET),
    "target_yama": (MACHINE, REFUSED),
    "target_other_user": (MACHINE, replace(REFUSED, uid=33, effective_uid=33, is_python=None, symbols=None)),
    "target_in_container": (
        replace(MACHINE, has_sys_ptrace=True, effective_uid=0),
        replace(
            TARGET,
            ns_pids=(4711, 1),
            container=Container("Docker", "/proc/4711/cgroup", "4f2a4f2a4f2a"),
            cores=replace(CORES, limit=0),
            symbols=replace(STRIPPED, path="/usr/local/bin/python3.11", builder="/usr/local"),
        ),
    ),
    "target_docker": (IN_DOCKER, replace(REFUSED, symbols=STRIPPED)),
    "target_slow": (
        replace(IN_DOCKER, effective_uid=1000, calls={"ptrace": None, "process_vm_readv": "EPERM"}),
        replace(TARGET, access=Access("/proc/PID/mem", "EPERM")),
    ),
    "target_closed": (SIDECAR, replace(TARGET, closed=("syscall", "fd"))),
    "target_kubernetes": (IN_KUBERNETES, replace(REFUSED, uid=0, effective_uid=0)),
    "target_label": (SIDECAR, replace(REFUSED, label="unconfined")),
    "target_user_namespace": (MACHINES["rootless"], REFUSED),
    "target_no_reason": (replace(MACHINES["machine_root"], ptrace_scope=0), REFUSED),
    "target_kernel_thread": (
        MACHINE,
        replace(
            TARGET,
            name="kthreadd",
            argv=(),
            executable=None,
            access=Access(None, "ESRCH"),
            symbols=None,
            is_python=False,
        ),
    ),
    "target_zombie": (
        MACHINE,
        replace(TARGET, is_zombie=True, access=Access(None, "ESRCH"), is_python=False, symbols=None),
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_golden_machines(name: str) -> None:
    compare(name, check_machine(MACHINES[name]))


@pytest.mark.parametrize("name", TARGETS)
def test_golden_targets(name: str) -> None:
    compare(name, check_target(*TARGETS[name]))


def test_every_golden_file_has_its_test() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {*MACHINES, *TARGETS, "no_process", "no_process_in_container"}


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
    check = named(check_machine(replace(MACHINE, drgn=Drgn(None))), "drgn")
    assert (check.state, check.mend) == ("note", "/venv/bin/python -m pip install drgn")
    assert ".eh_frame" in check.fact


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


@pytest.mark.parametrize(
    ("machine", "flags"),
    [
        (MACHINE, []),
        (IN_DOCKER, ["--pid=container:NAME", "--cap-add=SYS_PTRACE"]),
        (replace(IN_DOCKER, effective_uid=1000), ["--pid=container:NAME", "--cap-add=SYS_PTRACE", "--user=0"]),
        (SIDECAR, []),
        (replace(SIDECAR, namespaces=IN_DOCKER.namespaces), ["--pid=container:NAME"]),
        (MACHINES["docker_user"], ["--user=0"]),
        (replace(SIDECAR, calls={"ptrace": "EPERM"}), ["--security-opt=seccomp=unconfined"]),
        (replace(IN_DOCKER, namespaces=AT_HOME), ["--cap-add=SYS_PTRACE"]),  # --pid=host
    ],
)
def test_which_flags_a_container_misses(machine: Machine, flags: list[str]) -> None:
    assert find_missing_flags(machine) == flags


@pytest.mark.parametrize(
    ("machine", "target", "fact"),
    [
        ({"ptrace_scope": 3, "has_sys_ptrace": True}, {}, "yama's ptrace_scope is 3: nobody may trace"),
        ({}, {"uid": 33}, "it belongs to user 33, lastwords runs as user 1000 without CAP_SYS_PTRACE"),
        ({}, {"permitted": 1 << 10, "is_child": True}, "it has capabilities (0x400) that lastwords has not"),
        ({"ptrace_scope": 2}, {}, "yama's ptrace_scope is 2: only CAP_SYS_PTRACE may trace"),
        ({}, {}, "yama's ptrace_scope is 1: only children may be traced, and it is none"),
        ({}, {"tracer_pid": 99}, "yama's ptrace_scope is 1: only children may be traced, and it is none"),
        ({"ptrace_scope": 0}, {"other_user_namespace": True}, "it is in another user namespace"),
    ],
)
def test_why_attaching_is_not_allowed(machine: dict[str, object], target: dict[str, object], fact: str) -> None:
    check = attach(replace(MACHINE, **machine), replace(REFUSED, **target))
    assert (check.state, check.fact) == ("missing", f"not allowed (EPERM): {fact}")
    assert check.mend


def test_what_the_kernel_allows_is_allowed_whatever_the_rules_say() -> None:
    check = attach(replace(MACHINE, ptrace_scope=3), replace(TARGET, uid=33))
    assert (check.state, check.fact, check.mend) == ("ok", "allowed", "lastwords attach 4711")


def test_a_process_that_is_traced_is_read_without_a_stop() -> None:
    check = attach(MACHINE, replace(TARGET, tracer_pid=99))
    assert (check.state, check.mend) == ("note", "ps -o pid,args -p 99")


def test_what_is_no_python_is_said_to_be_none() -> None:
    assert named(check_target(MACHINE, replace(TARGET, is_python=False, symbols=None)), "Python").state == "missing"


def test_hunter_and_symbols_of_an_interpreter() -> None:
    assert {check.state for check in check_interpreter(INTERPRETER, None)} == {"ok"}
    without = replace(INTERPRETER, hunter=None, symbols=None)
    assert named(check_interpreter(without, None), "hunter").mend == "/usr/bin/python3 -m pip install hunter"
    assert named(check_interpreter(without, None), "symbols").state == "note"
    old = replace(without, version="2.7.18")
    assert named(check_interpreter(old, None), "hunter").mend == "/usr/bin/python3 -m pip install 'hunter<3.4'"


@pytest.mark.parametrize(
    ("ids", "commands"),
    [
        (("debian",), ["apt-get install python3.11-dbg", "https://debuginfod.debian.net"]),
        (("ubuntu", "debian"), ["apt-get install python3.11-dbg", "https://debuginfod.ubuntu.com"]),
        (("fedora",), ["dnf debuginfo-install python3", "https://debuginfod.fedoraproject.org"]),
        (("rocky", "rhel", "centos", "fedora"), ["dnf debuginfo-install", "https://debuginfod.fedoraproject.org"]),
        (("alpine",), ["apk add python3-dbg musl-dbg"]),
        (("arch",), ["https://debuginfod.archlinux.org"]),
        (("manjaro", "arch"), ["https://debuginfod.archlinux.org"]),
        (("opensuse-leap", "suse", "opensuse"), ["zypper install python3-debuginfo", "https://debuginfod.opensuse.org"]),
        (("plan9",), []),
    ],
)  # fmt: skip
def test_how_a_distribution_brings_symbols(ids: tuple[str, ...], commands: list[str]) -> None:
    [check] = check_symbols(replace(STRIPPED, distribution=Distribution(ids, ids[0])), None)
    lines = check.mend.splitlines()
    assert check.state == "note" and len(lines) == len(commands)
    for line, command in zip(lines, commands, strict=True):
        assert command in line


@pytest.mark.parametrize("builder", ["conda", "python-build-standalone", "pyenv", "nix", "/usr/local"])
def test_no_package_is_named_for_what_the_distribution_did_not_build(builder: str) -> None:
    [check] = check_symbols(replace(STRIPPED, builder=builder), "https://debuginfod.example")
    assert "apt-get" not in check.mend and "debuginfod" not in check.mend and "{" not in check.mend
    assert len(check.fact) > len(next(iter(check_symbols(STRIPPED, None))).fact)


def test_a_debuginfod_of_ones_own_is_asked() -> None:
    [check] = check_symbols(STRIPPED, "https://debuginfod.example")
    assert check.mend.splitlines()[-1].startswith(f"debuginfod-find debuginfo {STRIPPED.build_id}")
    [without] = check_symbols(replace(STRIPPED, build_id=None, distribution=None), "https://debuginfod.example")
    assert without.mend == "" and "no build-id" in without.fact


def test_symbols_that_are_at_hand() -> None:
    [apart] = check_symbols(replace(STRIPPED, debug_file="/usr/lib/debug/.build-id/5f/0c.debug"), None)
    assert apart.state == "ok" and "/usr/lib/debug" in apart.fact
    [named_only] = check_symbols(replace(STRIPPED, has_symtab=True), None)
    assert ".symtab" in named_only.fact


@pytest.mark.parametrize(
    ("cores", "state", "fact", "mend"),
    [
        ({"pattern": "|/usr/lib/systemd/systemd-coredump %P"}, "ok", "journal", "coredumpctl dump 7 -o core.7"),
        ({"pattern": "|/usr/lib/systemd/systemd-coredump %P", "limit": 0}, "note", "drops the core", "prlimit --core"),
        ({"pattern": "|/usr/share/apport/apport %p", "limit": 0}, "ok", "/var/lib/apport/coredump", "ls -l"),
        ({"pattern": "|/opt/crash %p"}, "ok", "hands a core to crash", ""),
        ({"pattern": "@/run/cores.sock"}, "ok", "/run/cores.sock", ""),
        ({"pattern": "", "limit": 0}, "note", "core_pattern is empty", "sudo tee /proc/sys/kernel/core_pattern"),
        ({"limit": 0}, "note", "/srv/app/core.%p", "sudo prlimit --core=unlimited --pid 7"),
        ({"limit": 8192}, "ok", "/srv/app/core.%p, cut at 8192 bytes", ""),
        ({}, "ok", "a core becomes the file /srv/app/core.%p", ""),
        ({"pattern": None}, "note", "may not be read", ""),
    ],
)  # fmt: skip
def test_what_becomes_of_a_core(cores: dict[str, object], state: str, fact: str, mend: str) -> None:
    [check] = check_cores(replace(CORES, **cores), None, 7)
    assert check.state == state and fact in check.fact
    assert mend in check.mend and bool(mend) == bool(check.mend)


def test_a_core_in_a_container_stays_there_or_leaves_it() -> None:
    docker = Container("Docker", "/.dockerenv")
    [inside] = check_cores(CORES, docker, None)
    assert "inside the container" in inside.fact and "docker cp" in inside.mend
    [outside] = check_cores(replace(CORES, pattern="|/usr/share/apport/apport"), docker, None)
    assert "outside of the container" in outside.fact


def test_the_lines() -> None:
    missing = Check("gdb", "missing", "not found", "apt-get install gdb\ndnf install gdb")
    lines = list(format_checks([missing, Check("ptrace", "ok", "x", source="/proc/x")]))
    two = ["                  apt-get install gdb", "                  dnf install gdb"]
    assert lines == ["missing gdb     not found", *two, "ok      ptrace  x  [/proc/x]"]


def test_our_own_process_as_the_kernel_shows_it() -> None:
    machine, target = read_machine(), read_target(os.getpid())
    status = psutil.Process()
    assert machine.effective_uid == os.geteuid()
    assert (target.pid, target.name, target.ppid) == (os.getpid(), status.name(), os.getppid())
    assert target.is_python and target.symbols and target.access.way == "process_vm_readv"
    assert target.uid == os.getuid()
    assert not target.other_user_namespace


def record(root: Path, scope: int, capabilities: int, namespace: str = "pid:[4026532500]") -> Path:
    """A /proc with our own process in it, as another kernel would show it."""
    (root / "sys/kernel/yama").mkdir(parents=True)
    (root / "sys/kernel/yama/ptrace_scope").write_text(f"{scope}\n")
    own = root / str(os.getpid())
    (own / "ns").mkdir(parents=True)
    (own / "ns/pid").symlink_to(namespace)
    (own / "status").write_text(f"PPid:\t0\nCapPrm:\t{capabilities:016x}\nCapEff:\t{capabilities:016x}\nSeccomp:\t2\n")
    return root


@pytest.mark.parametrize(("scope", "capabilities"), [(0, 0), (1, 1 << 19), (2, 0), (3, (1 << 19) | 1)])
def test_a_recorded_machine(tmp_path: Path, scope: int, capabilities: int) -> None:
    (tmp_path / ".dockerenv").touch()
    machine = read_machine(record(tmp_path / "proc", scope, capabilities), tmp_path)
    assert machine.ptrace_scope == scope
    assert machine.has_sys_ptrace == bool(capabilities & 1 << 19)
    assert (machine.permitted, machine.seccomp) == (capabilities, 2)
    assert machine.container == Container("Docker", "/.dockerenv")


@pytest.mark.parametrize(
    ("namespace", "name"), [(FIRST_PID_NAMESPACE, "no_process"), ("pid:[4026532500]", "no_process_in_container")]
)
def test_golden_no_such_process(tmp_path: Path, namespace: str, name: str) -> None:
    with pytest.raises(TargetError) as caught:
        read_target(4711, record(tmp_path, 0, 0, namespace))
    text = f"{caught.value.fact}\n  {caught.value.help}\n"
    assert text == (GOLDEN / f"{name}.txt").read_text()


def test_no_such_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "4194304"]) == 3
    assert capsys.readouterr().err.startswith("lastwords: there is no process 4194304; it has ended, or the number")


def test_this_interpreter_is_read() -> None:
    found = read_interpreter(sys.executable)
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.symbols and found.symbols.path


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
