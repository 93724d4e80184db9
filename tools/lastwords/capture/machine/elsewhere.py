"""What to say where lastwords and its target are in different containers, and the commands that bring them together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lastwords.capture import procfs
from lastwords.capture.kernel.peers import format_argv, list_pids
from lastwords.capture.machine.capabilities import SYS_PTRACE
from lastwords.capture.machine.container import find_container
from lastwords.capture.machine.namespaces import Namespaces, read_namespaces
from lastwords.capture.permission import Tracee

JOIN = "docker run --rm --pid=container:NAME"
IN_POD = "kubectl debug -it POD --image=lastwords --target=CONTAINER --profile=general --arguments-only --"
SHOWN = 3


def read_own_namespaces(proc: Path = procfs.PROC) -> Namespaces | None:
    """Ours; None where /proc does not show them."""
    try:
        found = read_namespaces(os.getpid(), proc)
    except (OSError, procfs.ProcessGoneError):
        return None
    return found if found.pid is not None else None


def is_contained(proc: Path = procfs.PROC) -> bool:
    """Whether we are where `sudo` gives no rights: in a pid namespace of its own, or without the right to get any."""
    ours = read_own_namespaces(proc)
    if ours is not None and not ours.sees_machine:
        return True
    bounding = procfs.read_fields(os.getpid(), proc).get("CapBnd")
    is_bound = bounding is not None and not int(bounding, 16) & SYS_PTRACE
    return is_bound and find_container(os.getpid(), proc) is not None


def format_attach(pid: int, proc: Path = procfs.PROC) -> str:
    """The command that starts lastwords beside the target, with the right to read it."""
    container = find_container(os.getpid(), proc)
    if container is not None and container.kind == "Kubernetes":
        return f"{IN_POD} attach {pid}"
    as_root = " --user=0" if os.geteuid() else ""  # a capability reaches root alone
    return f"{JOIN} --cap-add=SYS_PTRACE{as_root} lastwords attach {pid}"


def format_attach_as(tracee: Tracee, proc: Path = procfs.PROC) -> str | None:
    """The command that needs no capability, as the target's own user; None where that is not enough."""
    container = find_container(os.getpid(), proc)
    if tracee.uid == os.geteuid() or tracee.uid != tracee.effective_uid or tracee.permitted:
        return None
    if tracee.other_user_namespace or (container is not None and container.kind == "Kubernetes"):
        return None
    return f"{JOIN} --user={tracee.uid} lastwords attach {tracee.pid}    # as its own user"


def find_inside(pid: int, proc: Path = procfs.PROC) -> Iterator[tuple[int, str]]:
    """The processes that call themselves `pid` in a pid namespace of their own: our number, and what runs."""
    for one in list_pids(proc):
        try:
            numbers = procfs.read_status(one, proc).ns_pids
            if len(numbers) > 1 and numbers[-1] == pid:
                yield one, format_argv(procfs.read_cmdline(one, proc) or ["?"])
        except (OSError, ValueError, procfs.ProcessGoneError):
            continue
