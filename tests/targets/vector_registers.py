"""Waits in a system call of its own, with known values in vector registers; argument "avx", "avx512f": in theirs too.

ymm0, xmm5, zmm17 hold the 32-bit numbers from 0x1111 on, as many as there is room for.
"""

import ctypes
import mmap
import struct
import sys

LOADS = {
    "avx": b"\xc5\xfe\x6f\x07",  # vmovdqu (%rdi),%ymm0
    "sse": b"\xf3\x0f\x6f\x6f\x20",  # movdqu 32(%rdi),%xmm5
    "avx512f": b"\x62\xe1\x7e\x48\x6f\x4f\x01",  # vmovdqu32 64(%rdi),%zmm17
}
PAUSE = b"\xb8\x22\0\0\0\x0f\x05\xc3"  # mov $__NR_pause,%eax; syscall; ret

code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"".join(LOADS[name] for name in ["sse"] + sys.argv[1:]) + PAUSE)
wait = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
numbers = struct.pack("<32I", *range(0x1111, 0x1111 + 32))
sys.stdout.write("ready\n")
sys.stdout.flush()
wait(numbers)
