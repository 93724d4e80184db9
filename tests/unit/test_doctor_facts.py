"""The readers of doctor's facts, over recorded /proc trees and root directories of other machines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lastwords.capture.elf import ElfFile
from lastwords.capture.machine.capabilities import ALL, NAMES, SYS_PTRACE, name_capabilities, read_rights
from lastwords.capture.machine.container import Container, find_container
from lastwords.capture.machine.core_pattern import read_core_settings
from lastwords.capture.machine.distribution import Distribution, read_distribution
from lastwords.capture.machine.namespaces import read_namespaces
from lastwords.capture.machine.symbols import read_symbols
from lastwords.capture.machine.tried import Access, try_access, try_calls, try_files
from lastwords.capture.procfs import ProcessGoneError
from needs import lack

DOCKER_CAPABILITIES = 0xA80425FB  # what docker leaves to root
IDENTITY = "4f2a" * 16
STRIPPED = ElfFile(symbols={}, segments=(), soname=None, build_id="ab" + "cd" * 19, has_dwarf=False, has_symtab=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_capabilities_have_the_kernels_numbers() -> None:
    assert (NAMES.index("SYS_PTRACE"), NAMES.index("SYS_ADMIN"), NAMES.index("CHECKPOINT_RESTORE")) == (19, 21, 40)
    assert SYS_PTRACE == 1 << 19 and ALL == 0x1FFFFFFFFFF
    assert name_capabilities(1 << 19 | 1 | 1 << 45) == ["CHOWN", "SYS_PTRACE", "45"]
    assert name_capabilities(DOCKER_CAPABILITIES).count("SYS_PTRACE") == 0


def test_rights_of_a_process(tmp_path: Path) -> None:
    status = f"CapPrm:\t{DOCKER_CAPABILITIES:016x}\nCapEff:\t0000000000000000\nCapBnd:\t{SYS_PTRACE:016x}\n"
    write(tmp_path, {"7/status": f"{status}NoNewPrivs:\t1\nSeccomp:\t2\n", "7/attr/current": "docker-default\n"})
    rights = read_rights(7, tmp_path)
    assert (rights.effective, rights.permitted, rights.bounding) == (0, DOCKER_CAPABILITIES, SYS_PTRACE)
    assert (rights.no_new_privileges, rights.seccomp, rights.label) == (True, 2, "docker-default")


def test_rights_where_an_old_kernel_says_little(tmp_path: Path) -> None:
    rights = read_rights(7, write(tmp_path, {"7/status": "CapEff:\t0\n"}))
    assert (rights.bounding, rights.no_new_privileges, rights.seccomp, rights.label) == (0, False, 0, None)
    with pytest.raises(ProcessGoneError):
        read_rights(8, tmp_path)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({"root/.dockerenv": ""}, Container("Docker", "/.dockerenv")),
        ({"root/run/.containerenv": ""}, Container("Podman", "/run/.containerenv")),
        ({"root/run/systemd/container": "lxc\n"}, Container("LXC", "/run/systemd/container")),
        ({"proc/1/environ": "A=b\0container=systemd-nspawn\0"}, Container("systemd-nspawn", "/proc/1/environ")),
        (
            {"root/.dockerenv": "", "root/var/run/secrets/kubernetes.io/serviceaccount/token": ""},
            Container("Kubernetes", "/var/run/secrets/kubernetes.io"),
        ),
        ({"proc/7/cgroup": "0::/\n"}, None),
        ({"proc/7/cgroup": "0::/system.slice/docker.service\n1:cpu:/system.slice/containerd.service\n"}, None),
    ],
)
def test_containers(tmp_path: Path, files: dict[str, str], found: Container | None) -> None:
    write(tmp_path, {"proc/7/status": "", **files})
    assert find_container(7, tmp_path / "proc", tmp_path / "root") == found


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        (f"0::/system.slice/docker-{IDENTITY}.scope", "Docker"),
        (f"9:pids:/docker/{IDENTITY}", "Docker"),
        (f"0::/machine.slice/libpod-{IDENTITY}.scope/container", "Podman"),
        (f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{IDENTITY}.scope", "Kubernetes"),
        (f"4:cpu:/kubepods/burstable/pod1/{IDENTITY}", "Kubernetes"),
    ],
)
def test_a_container_seen_from_the_machine_has_its_id(tmp_path: Path, group: str, kind: str) -> None:
    write(tmp_path, {"7/cgroup": f"{group}\n", "7/root/etc/passwd": ""})
    found = find_container(7, tmp_path)
    assert found == Container(kind, str(tmp_path / "7/cgroup"), IDENTITY[:12])
    write(tmp_path, {"7/root/.dockerenv": ""})
    marked = find_container(7, tmp_path)
    assert marked is not None and marked.id == IDENTITY[:12]


LIMITS = "Limit                     Soft Limit           Hard Limit           Units     \n"


@pytest.mark.parametrize(
    ("pattern", "uses_pid", "file", "collector"),
    [
        ("core", "0", "/srv/app/core", None),
        ("core", "1", "/srv/app/core.%p", None),
        ("core.%p", "1", "/srv/app/core.%p", None),
        ("/var/cores/core.%e.%p", "0", "/var/cores/core.%e.%p", None),
        ("", "0", None, None),
        ("|/usr/lib/systemd/systemd-coredump %P %u", "0", None, "systemd-coredump"),
        ("|/usr/share/apport/apport -p%p", "0", None, "apport"),
        ("|/usr/libexec/abrt-hook-ccpp %s", "0", None, "abrt"),
        ("|/bin/false", "0", None, "false"),
        ("@/run/cores.sock", "0", None, None),
    ],
)
def test_core_patterns(tmp_path: Path, pattern: str, uses_pid: str, file: str | None, collector: str | None) -> None:
    kernel = {"sys/kernel/core_pattern": f"{pattern}\n", "sys/kernel/core_uses_pid": f"{uses_pid}\n"}
    limit = "Max core file size        4096                 unlimited            bytes\n"
    proc = write(tmp_path, {**kernel, "7/limits": LIMITS + limit})
    (tmp_path / "7/cwd").symlink_to("/srv/app")
    cores = read_core_settings(7, proc)
    assert (cores.file, cores.collector, cores.limit, cores.hard) == (file, collector, 4096, None)
    assert cores.socket == ("/run/cores.sock" if pattern.startswith("@") else None)


def test_core_settings_of_another_users_process(tmp_path: Path) -> None:
    cores = read_core_settings(7, write(tmp_path, {"7/status": "", "sys/kernel/core_pattern": "core\n"}))
    assert (cores.limit, cores.directory, cores.file) == (None, None, "(its directory)/core")


def test_namespaces_that_began_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, {"1/status": "PPid:\t0\n", "8/status": "PPid:\t0\n", "9/status": "PPid:\t1\n", "uptime": ""})
    write(tmp_path, {"9/uid_map": "         0     100000      65536\n"})
    (tmp_path / "9/ns").mkdir()
    (tmp_path / "9/ns/pid").symlink_to("pid:[4026532001]")
    (tmp_path / "9/ns/user").symlink_to("user:[4026531837]")
    own, joined = read_namespaces(9, tmp_path), read_namespaces(8, tmp_path)
    assert (own.began_here, joined.began_here, own.processes) == (True, False, 3)
    assert (own.sees_machine, own.is_first_user, own.uid_map) == (False, True, ((0, 100000, 65536),))
    assert (joined.pid, joined.uid_map) == (None, ())


def test_distributions(tmp_path: Path) -> None:
    assert read_distribution(tmp_path) is None
    ubuntu = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME="Ubuntu 24.04 LTS"\n'
    root = write(tmp_path / "root", {"usr/lib/os-release": ubuntu})
    found = Distribution(("ubuntu", "debian"), "Ubuntu 24.04 LTS")
    assert read_distribution(tmp_path) == found
    (root / "etc").mkdir()
    (root / "etc/os-release").symlink_to("/usr/lib/os-release")  # below this root, not below ours
    assert read_distribution(tmp_path) == found
    (root / "etc/os-release").unlink()
    (root / "etc/os-release").symlink_to("os-release")  # leads to itself
    assert read_distribution(tmp_path) == found


@pytest.mark.parametrize(
    ("path", "builder"),
    [
        ("/usr/bin/python3.11", None),
        ("/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0", None),
        ("/usr/local/bin/python3.11", "/usr/local"),
        ("/home/u/.local/share/uv/python/cpython-3.11.9-linux-x86_64-gnu/bin/python3.11", "python-build-standalone"),
        ("/home/u/.pyenv/versions/3.11.7/lib/libpython3.11.so.1.0", "pyenv"),
        ("/nix/store/abc-python3-3.11.9/bin/python3.11", "nix"),
        ("/opt/conda/bin/python3.11", "conda"),
        ("/opt/conda/lib/libpython3.11.so.1.0", "conda"),
    ],
)
def test_who_built_an_interpreter(tmp_path: Path, path: str, builder: str | None) -> None:
    (tmp_path / "root/opt/conda/conda-meta").mkdir(parents=True)
    symbols = read_symbols(path, STRIPPED, tmp_path, {})
    assert (symbols.builder, symbols.release, symbols.is_complete) == (builder, "3.11", False)


@pytest.mark.parametrize(
    ("file", "environment"),
    [
        ("root/usr/lib/debug/.build-id/ab/{rest}.debug", {}),
        (".cache/debuginfod_client/{id}/debuginfo", {"HOME": "{root}"}),
        ("x/debuginfod_client/{id}/debuginfo", {"XDG_CACHE_HOME": "{root}/x"}),
        ("y/{id}/debuginfo", {"DEBUGINFOD_CACHE_PATH": "{root}/y"}),
    ],
)
def test_where_debug_files_lie(tmp_path: Path, file: str, environment: dict[str, str]) -> None:
    assert STRIPPED.build_id is not None
    where = tmp_path / file.format(id=STRIPPED.build_id, rest=STRIPPED.build_id[2:])
    variables = {name: value.format(root=tmp_path) for name, value in environment.items()}
    where.parent.mkdir(parents=True)
    where.touch()  # empty: debuginfod's way to note that no server has it
    assert read_symbols("/usr/bin/python3.11", STRIPPED, tmp_path, variables).debug_file is None
    where.write_text("ELF")
    assert read_symbols("/usr/bin/python3.11", STRIPPED, tmp_path, variables).debug_file == str(where)


def test_the_kernel_is_asked() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert set(try_calls()) == {"ptrace", "process_vm_readv"}
        assert try_access(child.pid) in (Access("process_vm_readv"), Access("/proc/PID/mem", "EPERM"))
        assert try_files(child.pid) == ()
        child.communicate(b"\n")
    assert try_access(4194304) == Access(None, "ESRCH")


def test_the_kernel_refuses_a_nobody() -> None:
    """Of a process of root's, of which they are not, another user may neither read memory nor open these files."""
    if os.geteuid():
        lack("root")
    ask = f"import os; from lastwords.capture.machine.tried import *; os.setuid(65534); p = {os.getpid()}"
    done = subprocess.run(
        [sys.executable, "-c", f"{ask}; print(try_access(p), try_files(p))"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "Access(way=None, error='EPERM') ('syscall', 'fd', 'auxv')\n"
