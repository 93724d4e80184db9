"""Whether a process is in a container, of which kind, and by which file that was told."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from lastwords.capture import procfs

MARKERS = {".dockerenv": "Docker", "run/.containerenv": "Podman"}
SECRETS = "var/run/secrets/kubernetes.io"
MANAGER = "run/systemd/container"  # systemd writes the name of the container's manager there
KINDS = {"systemd-nspawn": "systemd-nspawn", "lxc": "LXC", "docker": "Docker", "podman": "Podman", "oci": "Podman"}
# /proc/PID/cgroup: "0::/system.slice/docker-<64 hex>.scope", "9:pids:/kubepods/burstable/pod<uid>/<64 hex>"
CGROUPS = {
    "Kubernetes": r"kubepods[-./].*",
    "Docker": r"docker[-/][0-9a-f]{64}",  # and not docker.service
    "Podman": r"libpod-[0-9a-f]{64}",
    "LXC": r"/lxc(\.payload)?[./]",
    "containerd": r"containerd-[0-9a-f]{64}",
}
_IDENTITY = r"[0-9a-f]{64}"


class Container(msgspec.Struct, frozen=True):
    """kind: "Docker", "Podman", "Kubernetes" ...; told_by: the file that says so; id: 12 digits, where one sees it."""

    kind: str
    told_by: str
    id: str | None = None


def find_container(pid: int, proc: Path = procfs.PROC, root: Path | None = None) -> Container | None:
    """The container that a process is in, None where nothing tells of one. `root`: its root directory.

    What may not be read tells nothing.
    """
    root = proc / str(pid) / "root" if root is None else root
    groups = _read_quietly(proc / str(pid) / "cgroup")
    marked = _find_marker(root) or _find_variable(proc)
    grouped = _find_group(groups, proc / str(pid) / "cgroup")
    if grouped is not None and (marked is None or grouped.kind == "Kubernetes"):
        return grouped
    return msgspec.structs.replace(marked, id=grouped.id) if marked and grouped else marked


def _find_marker(root: Path) -> Container | None:
    """By files that runtimes leave in the container. Kubernetes first: a runtime below it leaves its own as well."""
    try:
        if (root / SECRETS).exists():
            return Container("Kubernetes", f"/{SECRETS}")
        for marker, kind in MARKERS.items():
            if (root / marker).exists():
                return Container(kind, f"/{marker}")
    except OSError:
        return None
    manager = _read_quietly(root / MANAGER).strip()
    return Container(KINDS.get(manager, manager), f"/{MANAGER}") if manager else None


def _find_variable(proc: Path) -> Container | None:
    """By the variable `container` of the first process (https://systemd.io/CONTAINER_INTERFACE)."""
    for variable in _read_quietly(proc / "1/environ").split("\0"):
        if variable.startswith("container="):
            kind = variable.partition("=")[2]
            return Container(KINDS.get(kind, kind), "/proc/1/environ")
    return None


def _find_group(groups: str, file: Path) -> Container | None:
    for kind, pattern in CGROUPS.items():
        found = re.search(pattern, groups)
        if found is not None:
            identity = re.findall(_IDENTITY, found[0])
            return Container(kind, str(file), identity[-1][:12] if identity else None)
    return None


def _read_quietly(file: Path) -> str:
    try:
        return os.fsdecode(file.read_bytes())
    except OSError:
        return ""
