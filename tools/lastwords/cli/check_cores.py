"""What will become of a core, judged: whether there would be one, where it lands, and how to get at it."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture.machine.container import Container
from lastwords.capture.machine.core_pattern import CoreSettings
from lastwords.cli.check import Check

PATTERN = "/proc/sys/kernel/core_pattern"
SET_PATTERN = "echo /tmp/core.%e.%p | sudo tee /proc/sys/kernel/core_pattern"
PAGE = 4096
COPY = {
    "Docker": "docker cp NAME:PATH .",
    "Podman": "podman cp NAME:PATH .",
    "Kubernetes": "kubectl cp POD:PATH core -c CONTAINER",
}
# By collector: where it puts cores, and the command that gets at the one of a PID.
COLLECTORS = {
    "systemd-coredump": (
        "the journal knows of it",
        "coredumpctl dump PID -o core.PID && lastwords core core.PID",
    ),
    "apport": ("it goes to /var/lib/apport/coredump or /var/crash", "ls -l /var/lib/apport/coredump /var/crash"),
    "abrt": ("it goes to /var/spool/abrt", "ls -d /var/spool/abrt/*/coredump"),
}


def check_cores(cores: CoreSettings, container: Container | None, pid: int | None) -> Iterator[Check]:
    """For process `pid`, or for what is started from here (None)."""
    if cores.pattern is None:
        yield Check("core", "note", "core_pattern may not be read", "", PATTERN)
    elif cores.socket is not None:
        yield Check("core", "ok", f"a core goes to whoever listens at {cores.socket}, outside of any container")
    elif cores.command is not None:
        yield _collected(cores, container, pid)
    elif cores.file is None:
        fact = "core_pattern is empty: a crash leaves no core"
        yield Check("core", "note", fact, SET_PATTERN, PATTERN)
    else:
        yield _written(cores, container, pid)


def _collected(cores: CoreSettings, container: Container | None, pid: int | None) -> Check:
    collector = cores.collector or ""
    place, command = COLLECTORS.get(collector, ("where it puts it is its own affair", ""))
    outside = ", on the machine, outside of the container" if container else ""
    fact = f"the kernel hands a core to {collector}{outside}: {place}"
    if collector == "systemd-coredump" and cores.limit is not None and cores.limit < PAGE:
        fact = f"RLIMIT_CORE is {cores.limit}: systemd-coredump notes the crash, and drops the core"
        return Check("core", "note", fact, _raise_limit(container, pid), _source(pid))
    return Check("core", "ok", fact, command.replace("PID", str(pid)) if pid else command, PATTERN)


def _written(cores: CoreSettings, container: Container | None, pid: int | None) -> Check:
    where = f"the file {cores.file}" + (" inside the container, and goes with it" if container else "")
    if cores.limit is not None and cores.limit < PAGE:
        fact = f"RLIMIT_CORE is {cores.limit}: a crash leaves no core; with it, it would be {where}"
        return Check("core", "note", fact, _raise_limit(container, pid), _source(pid))
    cut = f", cut at {cores.limit} bytes" if cores.limit is not None else ""
    mend = f"{COPY.get(container.kind, COPY['Docker'])}    # while the container is there" if container else ""
    return Check("core", "ok", f"a core becomes {where}{cut}", mend, PATTERN)


def _raise_limit(container: Container | None, pid: int | None) -> str:
    if pid is not None:
        return f"sudo prlimit --core=unlimited --pid {pid}"
    inside = container is not None and container.kind in COPY and container.kind != "Kubernetes"
    return "ulimit -c unlimited" + (
        "\ndocker run --ulimit core=-1 ...    # where that may not be raised" if inside else ""
    )


def _source(pid: int | None) -> str:
    return f"{PATTERN}, /proc/{pid or 'self'}/limits"
