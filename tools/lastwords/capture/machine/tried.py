"""What the kernel answers when it is asked: only it knows every filter and every security module.

Each question is a system call that reads nothing, stops nothing and changes nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import msgspec

from lastwords.capture.procfs import PROC

NEEDED = ("syscall", "fd", "auxv")  # of mode 0400 or 0500, the process's own user's
PTRACE_CONT = 7  # include/uapi/linux/ptrace.h
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_IoVec = ctypes.c_size_t * 2  # struct iovec: address, length


class Access(msgspec.Struct, frozen=True):
    """way: how the memory is read, "process_vm_readv" or "/proc/PID/mem", None where it may not be.

    error: what the kernel answers to process_vm_readv: "EPERM", "ESRCH"
    """

    way: str | None
    error: str | None = None


def try_calls() -> dict[str, str | None]:
    """By system call that `attach` needs: None where it may be made, else the error's name (a seccomp filter's).

    They are tried on ourselves: to go on as nobody's tracee is ESRCH, wherever the call itself is allowed.
    """
    failed = _libc.ptrace(PTRACE_CONT, os.getpid(), None, None) == -1
    refused = errno.errorcode.get(ctypes.get_errno()) if failed else None
    return {"ptrace": None if refused == "ESRCH" else refused, "process_vm_readv": _try_read(os.getpid())}


def try_access(pid: int, proc: Path = PROC) -> Access:
    """Whether the kernel lets us read the memory of `pid`. The check is that of PTRACE_ATTACH, yama included."""
    error = _try_read(pid)
    if error is None:
        return Access("process_vm_readv")
    try:
        os.close(os.open(proc / str(pid) / "mem", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return Access(None, error)
    return Access("/proc/PID/mem", error)


def try_files(pid: int, proc: Path = PROC) -> tuple[str, ...]:
    """Those of NEEDED that may not be opened. Empty where the process has ended."""
    return tuple(name for name in NEEDED if not _can_open(proc / str(pid) / name))


def _can_open(file: Path) -> bool:
    try:
        os.close(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def _try_read(pid: int) -> str | None:
    """The error's name, None where it may be read. Of address 0 nothing is to be had."""
    local, remote = ctypes.create_string_buffer(1), _IoVec(0, 1)
    into = _IoVec(ctypes.addressof(local), 1)
    if _libc.process_vm_readv(pid, ctypes.byref(into), 1, ctypes.byref(remote), 1, 0) >= 0:
        return None
    code = ctypes.get_errno()
    return None if code == errno.EFAULT else errno.errorcode.get(code, str(code))
