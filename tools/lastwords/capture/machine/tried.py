"""What the kernel answers when it is asked: only it knows every filter and every security module.

Each question is a system call that reads nothing, stops nothing and changes nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os

PTRACE_CONT = 7  # include/uapi/linux/ptrace.h
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_IoVec = ctypes.c_size_t * 2  # struct iovec: address, length


def try_calls() -> dict[str, str | None]:
    """By system call that `attach` needs: None where it may be made, else the error's name (a seccomp filter's).

    They are tried on ourselves: to go on as nobody's tracee is ESRCH, wherever the call itself is allowed.
    """
    failed = _libc.ptrace(PTRACE_CONT, os.getpid(), None, None) == -1
    refused = errno.errorcode.get(ctypes.get_errno()) if failed else None
    read = try_access(os.getpid())
    return {"ptrace": None if refused == "ESRCH" else refused, "process_vm_readv": read}


def try_access(pid: int) -> str | None:
    """None where the kernel lets us read the memory of `pid`, else the error's name: "EPERM", "ESRCH".

    The check is that of PTRACE_ATTACH (yama included, a tracer of its own not). Of address 0 nothing is to be had.
    """
    local, remote = ctypes.create_string_buffer(1), _IoVec(0, 1)
    into = _IoVec(ctypes.addressof(local), 1)
    if _libc.process_vm_readv(pid, ctypes.byref(into), 1, ctypes.byref(remote), 1, 0) >= 0:
        return None
    code = ctypes.get_errno()
    return None if code == errno.EFAULT else errno.errorcode.get(code, str(code))
