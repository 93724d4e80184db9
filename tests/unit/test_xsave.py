"""What a snapshot keeps of x86's XSAVE areas: what gdb understands, on whichever processor they were saved."""

from __future__ import annotations

import struct

import pytest

from lastwords.capture.architectures.xsave import AVX, AVX512, AVX512_AT, AVX_END, SAVED_AT, USED_AT, lay_out_areas

MPX, KEYS, AMX = 0b11 << 3, 1 << 9, 0b11 << 17
ZMM = bytes(range(1, 201)) * 8  # AVX-512's registers


def make_area(size: int, saved: int, used: int, at: int = 0) -> bytearray:
    """An area of this size, in which AVX-512's registers lie at `at`."""
    area = bytearray(b"\xee" * size)
    struct.pack_into("<Q", area, SAVED_AT, saved)
    struct.pack_into("<Q", area, USED_AT, used)
    if at:
        area[at : at + len(ZMM)] = ZMM
    return area


def components(area: bytes) -> tuple[int, int]:
    """Those that are saved, and those in use."""
    return struct.unpack_from("<Q", area, SAVED_AT)[0], struct.unpack_from("<Q", area, USED_AT)[0]


LAYOUTS = pytest.mark.parametrize(
    ("size", "saved", "at"),
    [
        (2432, AVX | AVX512, 832),  # AMD
        (2440, AVX | AVX512 | KEYS, 832),
        (2688, AVX | MPX | AVX512, 1088),  # Intel
        (2696, AVX | AVX512 | KEYS, 1088),
        (11008, AVX | AVX512 | KEYS | AMX, 1088),
    ],
)


@LAYOUTS
def test_avx512_is_where_gdb_looks_for_it(size: int, saved: int, at: int) -> None:
    other = bytes(make_area(size, saved, 0b10, at))
    for area in lay_out_areas([bytes(make_area(size, saved, saved, at)), other]):
        assert area[AVX512_AT:] == ZMM
        assert components(area)[0] == AVX | AVX512
        assert components(area)[1] in (AVX | AVX512, 0b10)


@LAYOUTS
def test_without_avx512_in_use_it_is_not_kept(size: int, saved: int, at: int) -> None:
    area = bytes(make_area(size, saved, AVX | KEYS & saved, at))
    (kept,) = lay_out_areas([area])
    assert len(kept) == AVX_END
    assert components(kept) == (AVX, AVX)
    assert kept[USED_AT + 8 :] == area[USED_AT + 8 : AVX_END]


@pytest.mark.parametrize(("size", "saved", "kept"), [(832, AVX, AVX), (576, 0b11, 0b11), (4096, AVX | AVX512, AVX)])
def test_what_is_not_known_is_left_out(size: int, saved: int, kept: int) -> None:
    """A processor without AVX, with no more, and one that lays it out as none before."""
    (area,) = lay_out_areas([bytes(make_area(size, saved, saved))])
    assert components(area) == (kept, kept)
    assert len(area) == min(size, AVX_END)


def test_no_threads() -> None:
    assert lay_out_areas([]) == []
