"""Whether two processes have something of the kernel's in common: kcmp(2)."""

from __future__ import annotations

import ctypes

from lastwords.capture.architectures import this_machine

KCMP = {"x86_64": 312, "aarch64": 272}  # numbers of the system call, for which no C library has a function
VM = 1  # include/uapi/linux/kcmp.h: KCMP_VM

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def share_memory(pid: int, other: int) -> bool | None:
    """Whether both processes have one and the same memory; None where the kernel does not tell.

    It tells those that may trace both, if it was built with CONFIG_KCMP and no filter forbids it.
    """
    number = KCMP.get(this_machine().name)
    found = _libc.syscall(ctypes.c_long(number), pid, other, VM, 0, 0) if number else -1
    return None if found < 0 else found == 0
