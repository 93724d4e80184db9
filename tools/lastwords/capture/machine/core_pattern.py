"""What the kernel does with the core of a process that crashes: `core_pattern` and the process's limit (core(5))."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import msgspec

from lastwords.capture import procfs

PATTERN = "sys/kernel/core_pattern"
# The collectors of distributions, by the name of the program that the kernel starts.
COLLECTORS = {
    "systemd-coredump": "systemd-coredump",
    "apport": "apport",
    "abrt-hook-ccpp": "abrt",
    "abrt-server": "abrt",
}


class CoreSettings(msgspec.Struct, frozen=True):
    """pattern: core_pattern, None where it may not be read; limit: RLIMIT_CORE in bytes, soft, None for unlimited.

    hard: the hard limit, likewise; directory: where the process is, None where that may not be read
    """

    pattern: str | None
    uses_pid: bool
    limit: int | None
    hard: int | None
    directory: str | None

    @property
    def command(self) -> str | None:
        """The program that the kernel starts for a core, with its arguments; None where it starts none."""
        return self.pattern[1:].strip() if self.pattern and self.pattern.startswith("|") else None

    @property
    def socket(self) -> str | None:
        """The socket to which the kernel sends a core (Linux 6.16 on)."""
        return self.pattern[1:].lstrip("@") if self.pattern and self.pattern.startswith("@") else None

    @property
    def collector(self) -> str | None:
        """ "systemd-coredump", "apport", "abrt", or the program's own name; None where there is none."""
        if self.command is None:
            return None
        name = PurePosixPath(self.command.partition(" ")[0]).name
        return COLLECTORS.get(name, name)

    @property
    def file(self) -> str | None:
        """The path that a core would get, with the pattern's own `%` words, None where it goes to no file."""
        if self.pattern is None or self.pattern.startswith(("|", "@")):
            return None
        if not self.pattern and not self.uses_pid:
            return None
        name = self.pattern if not self.uses_pid or "%p" in self.pattern else f"{self.pattern}.%p"
        return name if name.startswith("/") else f"{self.directory or '(its directory)'}/{name}".replace("//", "/")


def read_core_settings(pid: int, proc: Path = procfs.PROC) -> CoreSettings:
    """Those that hold for process `pid`. Raises ProcessGoneError."""
    soft, hard = _read_limits(pid, proc)
    return CoreSettings(
        pattern=_read_setting(proc / PATTERN),
        uses_pid=_read_setting(proc / "sys/kernel/core_uses_pid") not in (None, "0"),
        limit=soft,
        hard=hard,
        directory=_read_directory(pid, proc),
    )


def _read_setting(file: Path) -> str | None:
    try:
        return file.read_text().rstrip("\n")
    except OSError:
        return None


def _read_limits(pid: int, proc: Path) -> tuple[int | None, int | None]:
    """The soft and the hard limit in bytes; unlimited where the file may not be read."""
    try:
        text = procfs.read_text(pid, "limits", proc)
    except OSError:
        return None, None
    found = re.search(r"^Max core file size +(\w+) +(\w+)", text, re.MULTILINE)
    soft, hard = found.groups() if found else ("unlimited", "unlimited")
    return int(soft) if soft.isdigit() else None, int(hard) if hard.isdigit() else None


def _read_directory(pid: int, proc: Path) -> str | None:
    try:
        return procfs.read_link(pid, "cwd", proc)
    except OSError:
        return None
