"""Cores that lie where the kernel or systemd-coredump put them, the newest first.

systemd-coredump's files name their process: core.COMM.UID.BOOT.PID.MICROSECONDS and how they are packed
(coredump.c, make_filename); what it keeps elsewhere `coredumpctl` knows. Others are found by `core_pattern` (core(5)),
a relative one in this directory.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lastwords.capture.machine.core_pattern import CoreSettings, read_core_settings
from lastwords.errors import SetupError, TargetError

STORAGE = Path("/var/lib/systemd/coredump")
STORED = re.compile(r"core\.(?P<comm>.*)\.\d+\.[0-9a-f]{32}\.(?P<pid>\d+)\.(?P<time>\d+)(\.(zst|lz4|xz))?")
KEPT = ("present", "journal", "truncated")  # coredumpctl's words for what can be had
FILES_LIMIT = 10_000
LOOKED_AT_LIMIT = 20  # cores whose names do not tell their process
LIST_SECONDS = 60


class FoundCore(msgspec.Struct, frozen=True):
    """One core. `path`: None where coredumpctl must take it out; `pid`: None where its name does not tell.

    time: seconds of the epoch; name: the program's, where that is told
    """

    time: float
    pid: int | None
    name: str | None
    path: Path | None


class _Listed(msgspec.Struct):
    """A line of `coredumpctl --json=short list`; `time` in microseconds."""

    time: int
    pid: int
    corefile: str
    exe: str | None = None


def find_core(pid: int | None) -> FoundCore:
    """The newest core of process `pid`, or the newest of all. Raises TargetError where there is none."""
    settings = read_core_settings(os.getpid())
    found = sorted(
        [*_find_stored(), *_find_listed(pid), *_find_by_pattern(settings)], key=lambda one: one.time, reverse=True
    )
    wanted = found if pid is None else [one for one in found if one.pid == pid] or list(_find_in(found, pid))
    if not wanted:
        raise _explain_none(pid, settings)
    newest = wanted[0]
    # coredumpctl lists what lies in the storage, too
    return next((one for one in wanted if one.pid == newest.pid and one.path is not None), newest)


def take_out(core: FoundCore, folder: Path) -> Path:
    """The core's file; one that only coredumpctl has is written into `folder`. Raises SetupError."""
    if core.path is not None:
        return core.path
    path = folder / f"core.{core.pid}"
    command = ["coredumpctl", "--no-pager", "dump", str(core.pid), f"--output={path}"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode or not path.exists():
        said = " / ".join(done.stderr.strip().splitlines()[-2:]) or "nothing"
        fact = f"coredumpctl could not take out the core of process {core.pid}; it said: {said}"
        raise SetupError(fact, f"sudo {shlex.join(command[:1] + command[2:4])} --output=FILE")
    return path


def _find_stored() -> Iterator[FoundCore]:
    for path in _list(STORAGE):
        found = STORED.fullmatch(path.name)
        if found:
            yield FoundCore(int(found["time"]) / 1e6, int(found["pid"]), _unescape(found["comm"]), path)


def _unescape(name: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), name)


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())[:FILES_LIMIT]
    except OSError:
        return []


def _find_listed(pid: int | None) -> Iterator[FoundCore]:
    """What coredumpctl knows; nothing without it, or where it is older than its JSON (systemd 248)."""
    program = shutil.which("coredumpctl")
    if program is None:
        return
    command = [program, "--no-pager", "--json=short", "list", *([str(pid)] if pid is not None else [])]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=LIST_SECONDS)
        listed = msgspec.json.decode(done.stdout, type=list[_Listed]) if done.stdout.strip() else []
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError):
        return
    for one in listed:
        if one.corefile in KEPT:
            yield FoundCore(one.time / 1e6, one.pid, Path(one.exe or "?").name, None)


def _find_by_pattern(settings: CoreSettings) -> Iterator[FoundCore]:
    if settings.file is None:
        return
    shape, pattern = _read_pattern(settings.file)
    for path in list(Path("/").glob(shape.lstrip("/")))[:FILES_LIMIT]:
        found = pattern.fullmatch(str(path))
        if found and path.is_file():
            pid = found.groupdict().get("pid")
            yield FoundCore(path.stat().st_mtime, int(pid) if pid else None, None, path)


def _read_pattern(file: str) -> tuple[str, re.Pattern[str]]:
    """What to look for, with wildcards, and what a name must be; the group `pid` is the process's."""
    shape, pattern, has_pid = "", "", False
    for word in re.findall(r"%.|[^%]", file):
        if word[0] != "%" or word == "%%":
            shape += re.sub(r"[*?\[]", "?", word[-1])
            pattern += re.escape(word[-1])
            continue
        is_pid = word in ("%p", "%P") and not has_pid
        has_pid = has_pid or is_pid
        shape += "*"
        pattern += r"(?P<pid>\d+)" if is_pid else "[^/]*"
    return shape, re.compile(pattern)


def _find_in(found: list[FoundCore], pid: int) -> Iterator[FoundCore]:
    """Cores that tell their process only inside."""
    from lastwords.capture.core.corefile import open_core  # noqa: PLC0415 - it takes a while to load

    for one in [one for one in found if one.pid is None and one.path is not None][:LOOKED_AT_LIMIT]:
        try:
            if one.path is not None and open_core(one.path).pid == pid:
                yield one
        except (SetupError, TargetError):
            continue


def _explain_none(pid: int | None, settings: CoreSettings) -> TargetError:
    whose = "No core file was found" if pid is None else f"No core file of process {pid} was found"
    places = [f"{STORAGE} has none"]
    if shutil.which("coredumpctl"):
        places.append("coredumpctl knows none")
    if settings.file is not None:
        places.append(f"nor is there one by core_pattern ({settings.file})")
    elif settings.collector not in (None, "systemd-coredump"):
        places.append(f"core_pattern gives them to {settings.collector}")
    return TargetError(
        f"{whose}: {', '.join(places)}.", "lastwords doctor    # where cores go, and whether there are any"
    )


def make_folder() -> tempfile.TemporaryDirectory[str]:
    """Where `take_out` may write; removed at the end of the `with` block."""
    return tempfile.TemporaryDirectory(prefix="lastwords-")
