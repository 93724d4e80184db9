"""Core files of targets, as the kernel and gdb write them, and as people pack them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from harness import Target
from needs import lack, need

PATTERN = Path("/proc/sys/kernel/core_pattern")
# gdb reads no symbols for it: a core takes a quarter of a second.
GCORE = ("-iex", "set auto-load no", "-iex", "set auto-solib-add off", "-iex", "set debuginfod enabled off")
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "bzip2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": lambda data: bytes(import_module("zstandard").compress(data)),
    "lz4": lambda data: bytes(import_module("lz4.frame").compress(data)),
}


def allow_core(target: Target, what: str = "0x33") -> None:
    """Let the kernel write a core of the target; `what` is for /proc/PID/coredump_filter (core(5))."""
    pattern = PATTERN.read_text().strip()
    need(pattern and not set("/|") & set(pattern), f"core files beside the program (core_pattern={pattern})")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    try:
        resource.prlimit(target.pid, resource.RLIMIT_CORE, unlimited)
    except PermissionError:
        need(False, "the right to raise the limit on cores (ulimit -c)")
    Path(f"/proc/{target.pid}/coredump_filter").write_text(what)


def kernel_core(target: Target, folder: Path, number: signal.Signals = signal.SIGSEGV, what: str = "0x33") -> Path:
    """Let a target whose directory is `folder` die of a signal; the core that the kernel writes there."""
    allow_core(target, what)
    before = set(folder.iterdir())
    os.kill(target.pid, number)
    assert target.wait() == -number
    [core] = set(folder.iterdir()) - before
    return core


def gdb_core(pid: int, path: Path) -> Path:
    """What gdb's gcore makes of a live process."""
    gdb = shutil.which("gdb")
    need(gdb, "gdb")
    command = [str(gdb), "-nx", "-batch", *GCORE, "-p", str(pid), "-ex", f"gcore {path}"]
    done = subprocess.run(  # in "/": gdb 13 crashes where its directory has been removed
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False, cwd="/"
    )
    assert path.exists(), done.stdout + done.stderr
    return path


def pack(how: str, data: bytes) -> bytes:
    """The bytes, compressed."""
    try:
        return PACKERS[how](data)
    except ImportError:
        lack(f"the Python package for {how}")
