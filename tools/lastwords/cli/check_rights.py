"""Whether lastwords may read and stop processes, judged: yama, capabilities, seccomp, namespaces, the container."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from lastwords.capture.machine.capabilities import ALL, SYS_PTRACE, name_capabilities
from lastwords.capture.permission import ALLOW_ATTACH, find_obstacles
from lastwords.cli.check import Check
from lastwords.cli.machine import Machine, Target

STATUS = "/proc/self/status"
YAMA = "/proc/sys/kernel/yama/ptrace_scope"
ADD_CAPABILITY, OTHER_PIDS, AS_ROOT = "--cap-add=SYS_PTRACE", "--pid=container:NAME", "--user=0"
TRIED = "tried on ourselves"
FEW = 5
READ_ALL = "--cap-add=DAC_READ_SEARCH"
NO_FILTER = "--security-opt=seccomp=unconfined"
DEBUG = "kubectl debug -it POD --image=lastwords --target=CONTAINER --profile=general"
CUSTOM = "--custom=docker/kubernetes/as-root.yaml"
# The same in the words of kubectl and of a Pod's manifest.
KUBERNETES = {
    OTHER_PIDS: "--target=CONTAINER",
    ADD_CAPABILITY: "--profile=general",
    AS_ROOT: "runAsUser: 0",
    NO_FILTER: "seccompProfile: {type: Unconfined}",
}


def check_rights(machine: Machine) -> Iterator[Check]:
    """What holds for every process."""
    yield _yama(machine)
    yield _capabilities(machine)
    yield _seccomp(machine)
    yield from _user_namespace(machine)
    yield from _container(machine)


def _yama(machine: Machine) -> Check:
    scope = machine.ptrace_scope
    if scope is None:
        return Check("ptrace", "ok", "this kernel has no yama; the owner may trace", "", f"no {YAMA}")
    value = f"yama's ptrace_scope is {scope}"
    if scope == 0:
        return Check("ptrace", "ok", f"{value}: the owner may trace", "", YAMA)
    if scope == 1:
        more = "attach as well" if machine.has_sys_ptrace else f"attach needs CAP_SYS_PTRACE, or: {ALLOW_ATTACH}"
        return Check("ptrace", "ok", f"{value}: `run` works, it asks the program for leave; {more}", "", YAMA)
    if scope == 2 and machine.has_sys_ptrace:
        return Check("ptrace", "ok", f"{value}, and lastwords has CAP_SYS_PTRACE", "", YAMA)
    if scope == 2:
        fact = f"{value}: only a process with CAP_SYS_PTRACE may trace, lastwords has it not"
        return Check("ptrace", "missing", fact, ALLOW_ATTACH, YAMA)
    fact = f"{value}: nobody may trace, and only a reboot changes that"
    return Check("ptrace", "missing", fact, "remove kernel.yama.ptrace_scope from /etc/sysctl.d and reboot", YAMA)


def _capabilities(machine: Machine) -> Check:
    who = f"user {machine.effective_uid}"
    if machine.has_sys_ptrace:
        fact = f"{who} has CAP_SYS_PTRACE ({_describe(machine.rights.effective)})"
        return Check("rights", "ok", fact, "", f"{STATUS}: CapEff")
    fact = f"{who} has no CAP_SYS_PTRACE: only processes of {who} without rights of their own may be read"
    if machine.rights.bounding & SYS_PTRACE and machine.effective_uid and machine.container:
        fact = f"CAP_SYS_PTRACE is given to this container, and {who} has it not: it reaches root alone"
        return Check("rights", "note", fact, _command(machine, None), f"{STATUS}: CapBnd, CapEff")
    if machine.rights.no_new_privileges:
        return Check("rights", "note", f"{fact}; no_new_privs is set, so sudo gives nothing", "", STATUS)
    return Check("rights", "ok", fact, "" if machine.container else "sudo lastwords attach PID", STATUS)


def _describe(held: int) -> str:
    """The capabilities, or those that are not held where these are few."""
    missing = name_capabilities(ALL & ~held)
    if len(missing) > FEW:
        return ", ".join(name_capabilities(held))
    return f"all capabilities but {', '.join(missing)}" if missing else "all capabilities"


def _seccomp(machine: Machine) -> Check:
    refused = {call: error for call, error in machine.calls.items() if error}
    if "ptrace" in refused:
        fact = f"a filter refuses ptrace ({refused['ptrace']}): no process can be stopped, `run` cannot work"
        return Check("seccomp", "missing", fact, _command(machine, None), TRIED)
    if refused:
        fact = f"a filter refuses {' and '.join(f'{call} ({error})' for call, error in refused.items())}"
        return Check("seccomp", "ok", f"{fact}: memory is read more slowly, through /proc/PID/mem", "", TRIED)
    if machine.seccomp == 0:
        return Check("seccomp", "ok", "off", "", f"{STATUS}: Seccomp")
    fact = f"mode {machine.seccomp} (filter): it lets {' and '.join(machine.calls)} through"
    return Check("seccomp", "ok", fact, "", f"{STATUS}: Seccomp; {TRIED}")


def _user_namespace(machine: Machine) -> Iterator[Check]:
    namespaces = machine.namespaces
    if namespaces.is_first_user or namespaces.user is None:
        return
    outside = next((outside for inside, outside, _ in namespaces.uid_map if inside == 0), None)
    root = f"root here is user {outside} outside" if outside is not None else "root here is nobody outside"
    fact = f"one of its own ({namespaces.user}): {root}, and capabilities count for what is inside alone"
    yield Check("userns", "note", fact, "sudo lastwords attach PID    # outside", "/proc/self/uid_map")


def _container(machine: Machine) -> Iterator[Check]:
    container, flags = machine.container, find_missing_flags(machine)
    if container is None:
        yield Check("container", "ok", "none")
        return
    where = f"inside a container ({container.kind})"
    if not flags:
        yield Check("container", "ok", f"{where}; nothing is missing for `attach`", "", container.told_by)
        return
    words = KUBERNETES if container.kind == "Kubernetes" else {}
    seen = f"it sees {machine.namespaces.processes} processes; " if OTHER_PIDS in flags else ""
    missing = ", ".join(words.get(flag, flag) for flag in flags)
    fact = f"{where}; {seen}to attach to a process of another one, this is missing: {missing}"
    yield Check("container", "note", fact, _command(machine, None), container.told_by)


def find_missing_flags(machine: Machine) -> list[str]:
    """The flags of `docker run` that this container would need to attach to processes of others."""
    flags = []
    if machine.container is None:
        return []
    if not machine.namespaces.sees_machine and machine.namespaces.began_here:
        flags.append(OTHER_PIDS)
    if not machine.has_sys_ptrace:
        flags += [ADD_CAPABILITY] if not machine.rights.bounding & SYS_PTRACE else []
        flags += [AS_ROOT] if machine.effective_uid else []
    elif machine.calls.get("ptrace"):
        flags.append(NO_FILTER)
    return flags


def _command(machine: Machine, pid: int | None, *more: str) -> str:
    """The whole command that starts lastwords with all it needs, where we are. `more`: flags for this case alone."""
    number = str(pid or 1)
    container = machine.container
    if container is None:
        return f"sudo lastwords attach {pid or 'PID'}"
    wanted = find_missing_flags(machine)
    if container.kind == "Kubernetes":
        custom = [CUSTOM] if AS_ROOT in wanted else []
        return " ".join([DEBUG, *custom, f"--arguments-only -- attach {number}"])
    flags = dict.fromkeys([OTHER_PIDS, ADD_CAPABILITY, *wanted, *more])
    program = "podman" if container.kind == "Podman" else "docker"
    return f"{program} run --rm {' '.join(flags)} lastwords attach {number}"


def check_attach(machine: Machine, target: Target) -> Check:
    """Whether lastwords may attach: what the kernel answers, and where it refuses, why, and which flag is missing."""
    if target.is_zombie:
        fact = "not allowed: it is a zombie: it has ended and waits for its parent"
        return Check("attach", "missing", fact, f"ps -o pid,args -p {target.ppid}", f"/proc/{target.pid}/status")
    if target.access.way is None:
        fact, mend = _explain(machine, target)
        asked = f"process_vm_readv of {target.pid}"
        return Check("attach", "missing", f"not allowed ({target.access.error}): {fact}", mend, asked)
    return _allowed(machine, target, f"tried: {target.access.way.replace('PID', str(target.pid))}")


def _allowed(machine: Machine, target: Target, source: str) -> Check:
    if target.tracer_pid:
        fact = f"allowed, without a stop: process {target.tracer_pid} traces it already (TracerPid)"
        return Check("attach", "note", fact, f"ps -o pid,args -p {target.tracer_pid}", source)
    if target.closed:
        files = ", ".join(f"/proc/{target.pid}/{name}" for name in target.closed)
        fact = f"allowed, but {files} may not be read: what threads wait for in the kernel is not told"
        mend = _command(machine, target.pid, READ_ALL) if machine.container else f"sudo lastwords attach {target.pid}"
        return Check("attach", "note", fact, mend, source)
    return Check("attach", "ok", "allowed", f"lastwords attach {target.pid}", source)


def _explain(machine: Machine, target: Target) -> tuple[str, str]:
    """The first reason in the order in which the kernel looks, and the command that mends it."""
    if target.access.error == "ESRCH":
        return "it has no memory of its own: it is a kernel thread, or has just ended", "lastwords ps"
    obstacle = next(find_obstacles(machine, replace(target, tracer_pid=0)), None)  # who traces it forbids no reading
    if obstacle is not None:
        by_flags = machine.container is not None and not machine.has_sys_ptrace and machine.ptrace_scope != 3
        return obstacle.fact, _command(machine, target.pid) if by_flags else obstacle.mend
    if not machine.namespaces.is_first_user:
        fact = "lastwords is in a user namespace of its own, where CAP_SYS_PTRACE counts for what is inside alone"
        return fact, f"sudo lastwords attach {target.pid}    # outside"
    if target.label != machine.rights.label:
        fact = f"AppArmor or SELinux: it is labelled {target.label}, lastwords {machine.rights.label}"
        return fact, _command(machine, target.pid, "--security-opt=apparmor=unconfined", "--security-opt=label=disable")
    fact = "the kernel does not show why (a security module, a process that is not dumpable)"
    return fact, f"sudo lastwords doctor {target.pid}" if not machine.has_sys_ptrace else "sudo dmesg | tail"
