"""What a thread waits for in the kernel: its system call's name and arguments, in plain words."""

from __future__ import annotations

import struct
from collections.abc import Callable

from msgspec.structs import replace

from lastwords.capture.captured import KernelThread
from lastwords.capture.kernel.descriptors import format_signals
from lastwords.capture.kernel.facts import Facts
from lastwords.capture.kernel.kernel_wait import Call, KernelWait
from lastwords.capture.kernel.syscall_arguments import read_signals, read_timespec
from lastwords.capture.kernel.syscall_io import (
    describe_accept,
    describe_connect,
    describe_copy,
    describe_epoll,
    describe_lock,
    describe_open,
    describe_poll,
    describe_select,
    describe_sendto,
    on_descriptor,
)
from lastwords.capture.kernel.syscall_sleep import describe_clock_nanosleep, describe_nanosleep
from lastwords.capture.memory import Memory, ReadError

__all__ = ["KernelWait", "describe_syscall_wait"]

P_PID, P_PGID, P_PIDFD = 1, 2, 3
CLONE_VFORK = 0x4000  # include/uapi/linux/sched.h
FLAGS = struct.Struct("<Q")  # the first of struct clone_args
SHOWN = 4  # children of many that are described


def describe_syscall_wait(thread: KernelThread, memory: Memory, facts: Facts | None) -> KernelWait | None:
    """What the thread waits for in the kernel; None where it is in no system call. `facts` None: a core."""
    found = thread.syscall
    if found is None:
        return None
    call = Call(found.name, found.arguments, memory, facts)
    try:
        return _DESCRIBED.get(call.name, _describe_other)(call)
    except (ReadError, IndexError) as error:
        return KernelWait("unknown", call.name, f"{call.name}, whose arguments could not be read: {error}")


def _describe_other(call: Call) -> KernelWait:
    return KernelWait("unknown", call.name, f"is in the system call {call.name}")


def _describe_wait(call: Call) -> KernelWait:
    """wait4(pid, ...): one child, any (-1), one of a group (0: our own; below -1: that one)."""
    pid = call.number(0)
    if pid > 0:
        return _tell_own_child(call, pid)
    if pid == 0:
        own = call.facts.group_of(call.facts.pid) if call.facts is not None else None
        return _tell_children(call, own, " of its process group")
    return _tell_children(call) if pid == -1 else _tell_children(call, -pid, f" of process group {-pid}")


def _describe_waitid(call: Call) -> KernelWait:
    kind, number = call.number(0), call.number(1)
    if kind == P_PID:
        return _tell_own_child(call, number)
    if kind == P_PIDFD:
        found = call.facts.descriptor(number) if call.facts is not None else None
        if found is None or not found.pid or found.pid < 0:
            return KernelWait("process", call.name, f"waits for the end of the process of pidfd {number}", fd=number)
        return replace(_tell_child(call, found.pid), fd=number)
    return _tell_children(call, number, f" of process group {number}") if kind == P_PGID else _tell_children(call)


def _tell_own_child(call: Call, pid: int) -> KernelWait:
    """One that is told by its number in the target's pid namespace."""
    ours = call.facts.outer_pid(pid) if call.facts is not None else pid
    if ours is None:
        return KernelWait("process", call.name, f"waits for the end of process {pid} of its own pid namespace")
    return _tell_child(call, ours)


def _tell_child(call: Call, pid: int) -> KernelWait:
    child = call.facts.child(pid) if call.facts is not None else None
    name = child.describe() if child is not None else f"process {pid}"
    return KernelWait("process", call.name, f"waits for the end of {name}", pid=pid)


def _tell_children(call: Call, group: int | None = None, which: str = "") -> KernelWait:
    """For the first of several children to end: those of a process group, or all."""
    children = call.facts.children if call.facts is not None else []
    several = [child for child in children if group in (child.group, None)]
    shown = "; ".join(child.describe() for child in several[:SHOWN])
    more = f"; and {len(several) - SHOWN} more" if len(several) > SHOWN else ""
    said = f": {shown}{more}" if shown else ("" if call.facts is None else ", and there is none")
    pid = several[0].pid if len(several) == 1 else None
    return KernelWait("process", call.name, f"waits for the end of any child{which}{said}", pid=pid)


def _describe_clone(call: Call) -> KernelWait:
    """vfork, and clone or clone3 with CLONE_VFORK: uninterruptible, until the child executes a program or ends."""
    flags = CLONE_VFORK if call.name == "vfork" else call.arguments[0]
    if call.name == "clone3":
        (flags,) = FLAGS.unpack(call.memory.read(flags, FLAGS.size))
    if not flags & CLONE_VFORK:
        return _describe_other(call)
    children = call.facts.children if call.facts is not None else []
    which = f" ({children[0].describe()})" if len(children) == 1 else ""
    said = f"waits for its new child to execute a program{which}"
    return KernelWait("process", call.name, said, pid=children[0].pid if len(children) == 1 else None)


def _describe_signals(call: Call) -> KernelWait:
    mask = read_signals(call.memory, call.arguments[0]) if call.name != "pause" else 0
    if call.name in ("pause", "rt_sigsuspend"):
        but = f" but {format_signals(mask)}" if mask else ""
        return KernelWait("unknown", call.name, f"waits for any signal{but}")
    timeout = f", for {read_timespec(call.memory, call.arguments[2]):g} s at most" if call.arguments[2] else ""
    return KernelWait("unknown", call.name, f"waits for a signal: {format_signals(mask)}{timeout}")


def _describe_futex(call: Call) -> KernelWait:
    return KernelWait("futex", call.name, f"waits for the word at {call.arguments[0]:#x} to change")


def _describe_restart(call: Call) -> KernelWait:
    return KernelWait("unknown", call.name, "goes on with a system call that was interrupted; which one is not known")


def _describe_semaphore(call: Call) -> KernelWait:
    what = "System V semaphores" if call.name.startswith("sem") else "a System V message queue"
    return KernelWait("unknown", call.name, f"waits for {what}, number {call.number(0)}")


_DESCRIBED: dict[str, Callable[[Call], KernelWait]] = {
    **dict.fromkeys(("read", "pread64", "readv"), on_descriptor("reads from")),
    **dict.fromkeys(("write", "pwrite64", "writev"), on_descriptor("writes to")),
    **dict.fromkeys(("recvfrom", "recvmsg", "recvmmsg", "mq_timedreceive"), on_descriptor("receives from")),
    **dict.fromkeys(("sendmsg", "sendmmsg", "mq_timedsend"), on_descriptor("sends to")),
    **dict.fromkeys(("fsync", "fdatasync"), on_descriptor("writes out")),
    "ioctl": on_descriptor("ioctl on"),
    "io_uring_enter": on_descriptor("waits for asynchronous input or output of"),
    "sendto": describe_sendto,
    **dict.fromkeys(("accept", "accept4"), describe_accept),
    "connect": describe_connect,
    **dict.fromkeys(("sendfile", "splice"), describe_copy),
    **dict.fromkeys(("open", "openat"), describe_open),
    **dict.fromkeys(("flock", "fcntl"), describe_lock),
    **dict.fromkeys(("poll", "ppoll"), describe_poll),
    **dict.fromkeys(("select", "pselect6"), describe_select),
    **dict.fromkeys(("epoll_wait", "epoll_pwait", "epoll_pwait2"), describe_epoll),
    **dict.fromkeys(("vfork", "clone", "clone3"), _describe_clone),
    "wait4": _describe_wait,
    "waitid": _describe_waitid,
    "nanosleep": describe_nanosleep,
    "clock_nanosleep": describe_clock_nanosleep,
    **dict.fromkeys(("pause", "rt_sigsuspend", "rt_sigtimedwait"), _describe_signals),
    **dict.fromkeys(("futex", "futex_waitv"), _describe_futex),
    "restart_syscall": _describe_restart,
    **dict.fromkeys(("semop", "semtimedop", "msgrcv", "msgsnd"), _describe_semaphore),
}
