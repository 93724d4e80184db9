"""x86-64: arch/x86/include/asm/user_64.h, arch/x86/entry/syscalls/syscall_64.tbl, System V ABI."""

from __future__ import annotations

import re

from lastwords.capture.architectures import Architecture

X86_64 = Architecture(
    name="x86_64",
    elf_machine="EM_X86_64",
    registers=(
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
        "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
    ),
    stack_pointer="rsp",
    program_counter="rip",
    syscall_number="orig_rax",
    syscall_result="rax",
    # mov $number,%eax; perhaps xor $flags,%sil, as in glibc's futex; syscall
    restarted=re.compile(rb"\xb8(.{4})(?:\x40\x80\xf6.)?\x0f\x05\Z", re.DOTALL),
    syscall_arguments=("rdi", "rsi", "rdx", "r10", "r8", "r9"),
    call_arguments=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    thread_pointer="fs_base",
    syscalls={
        0: "read", 1: "write", 7: "poll", 16: "ioctl", 17: "pread64", 18: "pwrite64", 19: "readv", 20: "writev",
        23: "select", 34: "pause", 35: "nanosleep", 40: "sendfile", 42: "connect", 43: "accept", 44: "sendto",
        45: "recvfrom", 46: "sendmsg", 47: "recvmsg", 58: "vfork", 61: "wait4", 64: "semget", 65: "semop", 70: "msgrcv",
        69: "msgsnd", 72: "fcntl", 73: "flock", 74: "fsync", 75: "fdatasync", 2: "open", 128: "rt_sigtimedwait",
        130: "rt_sigsuspend", 202: "futex", 208: "io_getevents", 219: "restart_syscall", 220: "semtimedop",
        230: "clock_nanosleep", 232: "epoll_wait", 242: "mq_timedsend", 243: "mq_timedreceive", 247: "waitid",
        257: "openat", 270: "pselect6", 271: "ppoll", 275: "splice", 281: "epoll_pwait", 288: "accept4",
        299: "recvmmsg", 307: "sendmmsg", 333: "io_pgetevents", 426: "io_uring_enter", 441: "epoll_pwait2",
        449: "futex_waitv",
    },
)  # fmt: skip
