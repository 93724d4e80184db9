"""x86's XSAVE area (NT_X86_XSTATE): Intel's manual, volume 1, 13.4; arch/x86/kernel/fpu/xstate.c.

512 bytes as FXSAVE has them, of which 48 are software's: there the kernel says which components it saves (XCR0);
then the header, which begins with the components that are in use; then the components, AVX' first.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

SAVED_AT, USED_AT = 464, 512
AVX, AVX_END = 0b111, 832  # with x87 and SSE
AVX512, AVX512_SIZE = 0b1110_0000, 1600
AVX512_AT = 1088  # Intel's
AVX512_BY_SIZE = {2432: 832, 2440: 832, 2688: AVX512_AT, 2696: AVX512_AT, 11008: AVX512_AT}  # AMD's have no MPX before


def lay_out_areas(areas: Sequence[bytes]) -> list[bytes]:
    """These of the threads of one process, all alike: with AVX, and with AVX-512 where one of them has it in use.

    As Intel's processors lay it out, because gdb before 14 knows nothing else. Where AVX-512's registers are in an
    area of another size is for CPUID to tell: then they are left out. So are protection keys, MPX and AMX.
    """
    used = 0
    for area in areas:
        used |= struct.unpack_from("<Q", area, USED_AT)[0]
    is_more = used & AVX512 and all(len(area) in AVX512_BY_SIZE for area in areas)
    return [_extend(area) if is_more else _mark(area[:AVX_END], AVX) for area in areas]


def _extend(area: bytes) -> bytes:
    at = AVX512_BY_SIZE[len(area)]
    return _mark(area[:AVX_END].ljust(AVX512_AT, b"\0") + area[at : at + AVX512_SIZE], AVX | AVX512)


def _mark(area: bytes, components: int) -> bytes:
    marked = bytearray(area)
    for at in (SAVED_AT, USED_AT):
        struct.pack_into("<Q", marked, at, struct.unpack_from("<Q", area, at)[0] & components)
    return bytes(marked)
