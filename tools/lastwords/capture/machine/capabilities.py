"""The capabilities of a process, by name, and what else holds it back: `/proc/PID/status`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lastwords.capture import procfs

# include/uapi/linux/capability.h, by bit
NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
SYS_PTRACE = 1 << NAMES.index("SYS_PTRACE")
ALL = (1 << len(NAMES)) - 1


class Rights(msgspec.Struct, frozen=True):
    """Bit masks of capabilities, and whether exec may add any. bounding: what the process can ever have.

    seccomp: 0 off, 1 strict, 2 filter
    label: what its security module calls it ("docker-default (enforce)", "system_u:system_r:..."), None without one
    """

    effective: int
    permitted: int
    bounding: int
    no_new_privileges: bool
    seccomp: int
    label: str | None


def name_capabilities(mask: int) -> list[str]:
    """Names without CAP_, by rising bit; a bit without a name by its number."""
    bits = (bit for bit in range(mask.bit_length()) if mask & 1 << bit)
    return [NAMES[bit] if bit < len(NAMES) else str(bit) for bit in bits]


def read_rights(pid: int, proc: Path = procfs.PROC) -> Rights:
    """What `/proc/PID/status` says; fields that an old kernel does not have are 0. Raises ProcessGoneError."""
    fields = procfs.read_fields(pid, proc)
    return Rights(
        effective=int(fields.get("CapEff", "0"), 16),
        permitted=int(fields.get("CapPrm", "0"), 16),
        bounding=int(fields.get("CapBnd", "0"), 16),
        no_new_privileges=fields.get("NoNewPrivs", "0") != "0",
        seccomp=int(fields.get("Seccomp", "0")),
        label=_read_label(pid, proc),
    )


def _read_label(pid: int, proc: Path) -> str | None:
    try:
        return procfs.read_text(pid, "attr/current", proc).strip("\0\n ") or None
    except OSError:  # EINVAL where no module labels processes
        return None
