"""x86-64: arch/x86/include/asm/user_64.h, arch/x86/entry/syscalls/syscall_64.tbl, System V ABI."""

from __future__ import annotations

from lastwords.capture.architectures import Architecture
from lastwords.capture.architectures.xsave import lay_out_areas

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
    restarted=rb"(?s)\xb8(.{4})(?:\x40\x80\xf6.)?\x0f\x05\Z",
    syscall_arguments=("rdi", "rsi", "rdx", "r10", "r8", "r9"),
    call_arguments=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    thread_pointer="fs_base",
    vector_sets=(0x202, 2),  # NT_X86_XSTATE, NT_PRFPREG
    extended_set=0x202,
    fp_size=512,  # FXSAVE
    lay_out_extended=lay_out_areas,
    syscalls={
        0: "read", 1: "write", 7: "poll", 16: "ioctl", 17: "pread64", 18: "pwrite64", 19: "readv", 20: "writev",
        23: "select", 34: "pause", 35: "nanosleep", 40: "sendfile", 42: "connect", 43: "accept", 44: "sendto",
        45: "recvfrom", 46: "sendmsg", 47: "recvmsg", 58: "vfork", 61: "wait4", 64: "semget", 65: "semop", 70: "msgrcv",
        69: "msgsnd", 72: "fcntl", 73: "flock", 74: "fsync", 75: "fdatasync", 2: "open", 128: "rt_sigtimedwait",
        130: "rt_sigsuspend", 202: "futex", 208: "io_getevents", 219: "restart_syscall", 220: "semtimedop",
        230: "clock_nanosleep", 232: "epoll_wait", 242: "mq_timedsend", 243: "mq_timedreceive", 247: "waitid",
        257: "openat", 270: "pselect6", 271: "ppoll", 275: "splice", 281: "epoll_pwait", 288: "accept4",
        299: "recvmmsg", 307: "sendmmsg", 333: "io_pgetevents", 426: "io_uring_enter", 441: "epoll_pwait2",
        449: "futex_waitv", 56: "clone", 435: "clone3",
    },
    # System V ABI, figure 3.36
    dwarf_registers=(
        "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "rip",
    ),
    preserved=("rbx", "rbp", "r12", "r13", "r14", "r15"),
    frame_pointer="rbp",
    signal_return=b"\x48\xc7\xc0\x0f\0\0\0\x0f\x05",  # mov $__NR_rt_sigreturn,%rax; syscall
    signal_context=40,  # ucontext.uc_mcontext
    signal_registers=(
        "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp",
        "rip",
    ),
    thread_exit=b"\x89\xc7\x31\xc0\xb0\x3c\x0f\x05",  # mov %eax,%edi; xor %eax,%eax; mov $__NR_exit,%al; syscall
    # call to a distance, by a register, by a place in memory
    calls=(
        rb"(?s)(?:\xe8(.{4})|\xff\x15(.{4})|\xff[\xd0-\xd7]|\xff[\x10-\x13\x16\x17]|\xff[\x50-\x53\x55-\x57].|"
        rb"\xff\x54..|\xff[\x90-\x93\x95-\x97].{4}|\xff\x94.{5}|\xff\x14.(?:.{4})?)\Z"
    ),
    jump_by_table=rb"(?s)(?:\xf3\x0f\x1e\xfa)?\xf2?\xff\x25(.{4})",
    # push; sub of what the frame takes; endbr64; mov, xor, test between registers; mov of a constant; lea
    prologue=(
        rb"(?s)(\x41?[\x50-\x57])|\x48\x83\xec([\x00-\x7f])|\x48\x81\xec(.{4})|\xf3\x0f\x1e\xfa|"
        rb"[\x40-\x4f]?[\x31\x85\x89\x8b][\xc0-\xff]|\x41?[\xb8-\xbf].{4}|"
        rb"[\x48-\x4f]\x8d(?:[\x40-\x43\x45-\x7f].|[\x05\x0d\x15\x1d\x25\x2d\x35\x3d].{4})"
    ),
    pushed=(
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    ),
)  # fmt: skip
