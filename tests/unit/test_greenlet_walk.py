"""Frames of greenlets that stand alike are read at once: the same as one by one, whatever lies there."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from lastwords.capture.memory import Range, ReadError, unreadable
from lastwords.cpython.frame import Place, read_object, read_record
from lastwords.cpython.layouts import Layout, load_layout
from lastwords.cpython.structs import Start, Structs
from lastwords.greenlets.walk import Overlay, Walked, Walker

CHUNK, STACK, COPY = 0x10_0000, 0x7F00_0000, 0x50_0000  # the greenlets' own memory, a thread's stack, saved ones
APART = 0x4000
CODES = {
    0x9000 + 0x100 * number: Start(0x9000 + 0x100 * number + 16, 0x9000 + 0x100 * number + 20) for number in range(4)
}
ENTRY = 0x8000  # what C's entries have for a code object
FORMS = [(size, code, lasti) for size in (96, 104) for code in (*CODES, ENTRY) for lasti in (2, 8)]
SHAPES = st.lists(st.sampled_from(FORMS), min_size=1, max_size=6)


class Words:
    """Words by their addresses; others are not there. `reads`: how often it was asked."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self.reads = 0

    def read(self, address: int, size: int) -> bytes:
        self.reads += 1
        found = [self.words.get(at) for at in range(address, address + size, 8)]
        if None in found:
            raise unreadable(address, size, "nothing there")
        return struct.pack(f"<{len(found)}Q", *cast("list[int]", found))

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        return [self.read(*one) for one in ranges]


class Made:
    """Greenlets made of the frames of one release."""

    def __init__(self, release: str) -> None:
        self.layout = cast("Layout", load_layout(release))
        self.memory = Words()
        self.structs = Structs(self.memory, self.layout)
        self.structs.starts.update({**CODES, ENTRY: None})
        self.struct = "_PyInterpreterFrame" if self.structs.has("_PyInterpreterFrame") else "PyFrameObject"
        self.tops: list[int] = []

    def add(self, shape: Sequence[tuple[int, int, int]]) -> None:
        """One more, its outermost frame first."""
        at, back = CHUNK + APART * len(self.tops), 0
        for size, code, lasti in shape:
            self.write(at, code, lasti, back)
            at, back = at + size, at
        top = 0x20_0000 + 0x100 * len(self.tops)
        self.memory.words[top + self.layout.offset("PyFrameObject", "f_frame")] = back
        self.tops.append(top)

    def write(self, at: int, code: int, lasti: int, back: int) -> None:
        for byte in range(0, 104, 8):
            self.memory.words.setdefault(at + byte, 0x7777)
        first = CODES[code].first if code in CODES else 0
        values = {"f_executable": code, "previous": back, "instr_ptr": first + lasti, "f_globals": code + 8}
        for name, value in values.items():
            self.memory.words[at + self.layout.offset(self.struct, name)] = value

    def one_by_one(self, top: int, saved: Overlay) -> tuple[list[Place], str | None]:
        """As cpython/frame.py reads a chain."""
        places: list[Place] = []
        seen: set[int] = set()
        address = self.structs.number(top, "PyFrameObject", "f_frame")
        try:
            while address:
                if address in seen:
                    return places, f"the frames come back to {address:#x}, or are more than 20000"
                seen.add(address)
                at = saved[2] + address - saved[0] if saved[0] <= address < saved[1] else address
                place, address = (read_record if self.struct == "_PyInterpreterFrame" else read_object)(
                    self.structs, at
                )
                places += [place] if place else []
        except ReadError as error:
            return places, str(error)
        return places, None


def told(walked: Walked) -> tuple[list[Place], str | None]:
    return walked.places, str(walked.error) if walked.error else None


NOTHING_SAVED: Overlay = (STACK, STACK, 0)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(SHAPES, min_size=1, max_size=3),
    st.lists(st.integers(0, 2), min_size=2, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 80), st.sampled_from([0, 1, 0x9000, CHUNK, CHUNK + 96]))),
)
def test_all_at_once_is_as_one_by_one(
    shapes: list[list[tuple[int, int, int]]], chosen: list[int], damage: list[tuple[int, int, int]]
) -> None:
    made = Made("3.12")
    for number in chosen:
        made.add(shapes[number % len(shapes)])
    for number, word, value in damage:
        made.memory.words[CHUNK + APART * (number % len(chosen)) + word * 8] = value
    walker = Walker(made.structs)
    expected = [made.one_by_one(top, NOTHING_SAVED) for top in made.tops]
    walked = [walker.walk(top, NOTHING_SAVED) for top in made.tops]
    assert [told(one) for one in walked] == expected
    for one in walked:
        stands = [(place.code, place.lasti) for place in one.places]
        assert [stand[:2] for stand in one.alike.stands] == stands
        assert all((one.alike.number == other.alike.number) == (one.alike == other.alike) for other in walked)


def test_those_that_stand_alike_take_a_few_reads_each() -> None:
    made = Made("3.13")
    for _ in range(50):
        made.add(FORMS[:10])
    walker = Walker(made.structs)
    numbers = {walker.walk(top, NOTHING_SAVED).alike.number for top in made.tops[:1]}
    before = made.memory.reads
    numbers |= {walker.walk(top, NOTHING_SAVED).alike.number for top in made.tops[1:]}
    assert numbers == {0}
    assert made.memory.reads - before == 3 * 49


def test_frames_on_a_saved_stack_are_read_where_they_are_now() -> None:
    made = Made("3.12")
    code = next(iter(CODES))
    for number in range(3):  # the second frame of each lies on a stack that is copied away, the first's in place
        made.add([FORMS[0]])
        back = CHUNK + APART * number
        made.write(COPY + APART * number + 64, code, 6 + 2 * number, back)
        made.write(back + 0x800, code, 4, STACK + 64)
        made.memory.words[made.tops[number] + made.layout.offset("PyFrameObject", "f_frame")] = back + 0x800
    walker = Walker(made.structs)
    for number, top in enumerate(made.tops):
        saved = (STACK, STACK + 0x400, COPY + APART * number)
        walked = walker.walk(top, saved)
        assert told(walked) == made.one_by_one(top, saved)
        assert [place.lasti for place in walked.places] == [4, 6 + 2 * number, *[p.lasti for p in walked.places[2:]]]
