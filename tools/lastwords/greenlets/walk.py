"""The frames of suspended greenlets, of thousands alike: see cpython/frame.py for what a frame is.

From CPython 3.11 on the records of a greenlet's frames lie one behind the other, in a piece of memory of its own. Where
one greenlet stands as another does, its records are as far apart. So they are read all at once, and each is compared:
its code, its instruction, its globals, and which one it names as the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.frame import FRAMES_LIMIT, SIGN, Place, find_start
from lastwords.cpython.layouts import Field
from lastwords.cpython.structs import POINTER, Structs, make_group

OBJECT = ("f_back", "f_code", "f_lasti", "f_globals")
RECORD = ("f_executable", "instr_ptr", "f_globals", "previous")
SPAN_LIMIT = 16 << 10  # bytes from the first to the last of some records
RECORDS_LIMIT = 64  # of a stack that others are compared with
PATTERNS_LIMIT = 4  # that begin with the same frame

Stand = tuple[int, int, int]  # what tells a frame's name and line: its code object, its instruction, its globals
Overlay = tuple[int, int, int]  # where a saved stack belongs, [start, end), and where it is now


class Link(msgspec.Struct, frozen=True):
    """One of the chain: a frame, or what C code put between, without a `stand`. `words`: of a record, its RECORD."""

    at: int
    stand: Stand | None
    words: tuple[int, ...] = ()


class Alike(msgspec.Struct, frozen=True):
    """What those that stand alike have in common: their frames, innermost first; a number that no others have."""

    number: int
    stands: tuple[Stand, ...]


class Walked(msgspec.Struct, frozen=True):
    """A greenlet's frames, as far as they could be read. `below`: how far each is below `first`, the address of one."""

    first: int
    below: Sequence[int]
    alike: Alike
    error: ReadError | None = None

    @property
    def places(self) -> list[Place]:
        """Where they stand, innermost first."""
        stands = zip(self.below, self.alike.stands, strict=True)
        return [Place(self.first - below, code, lasti) for below, (code, lasti, _) in stands]


class Pattern:
    """How the records of a stack lie, and what is in them."""

    def __init__(self, structs: Structs, frames: Sequence[Link], alike: Alike) -> None:
        first = frames[0].at
        self.alike = alike
        self.below = [first - frame.at for frame in frames if frame.stand]
        self._next = tuple(first - frame.at for frame in frames[1:])
        self._words = tuple(frame.words[field] for field in range(3) for frame in frames)
        self._depth = first - min(frame.at for frame in frames)
        offsets = [structs.layout.offset("_PyInterpreterFrame", field) for field in RECORD]
        fields = [Field(offset + frame.at - first + self._depth, POINTER) for offset in offsets for frame in frames]
        self._start, self._size, self._unpack = make_group(fields)

    def fits(self, structs: Structs, first: int, saved: Overlay) -> bool:
        """Whether the records from `first` on are like these, and none of them is on the saved stack."""
        start = first - self._depth + self._start
        if start < saved[1] and saved[0] < start + self._size:
            return False
        try:
            *found, last = self._unpack(structs.memory.read(start, self._size))
        except ReadError:
            return False
        count = len(self._words)
        is_like = tuple(found[:count]) == self._words and not last
        return is_like and found[count:] == [first - below for below in self._next]


class Walker:
    """Follows the frames of one moment's greenlets."""

    def __init__(self, structs: Structs) -> None:
        self.structs = structs
        self._alike: dict[tuple[Stand, ...], Alike] = {}
        self._patterns: dict[tuple[int, ...], list[Pattern]] = {}  # by code and instruction of the innermost frame
        self._has_records = structs.has("_PyInterpreterFrame")
        self._group = structs.group(
            *(("_PyInterpreterFrame", RECORD) if self._has_records else ("PyFrameObject", OBJECT))
        )

    def walk(self, top_frame: int, saved: Overlay) -> Walked:
        """The frame object `top_frame`, 0 for none, and all that called it; those on the saved stack are read there."""
        frames: list[Link] = []
        error = None
        try:
            first = self._find_first(top_frame)
            pattern = self._find_pattern(first, saved) if self._has_records and first else None
            if pattern is not None:
                return Walked(first, pattern.below, pattern.alike)
            frames.extend((self._records if self._has_records else self._objects)(first, saved))
        except ReadError as found:
            error = found
        return self._make(frames, saved, error)

    def _find_first(self, top_frame: int) -> int:
        if top_frame and self.structs.has("PyFrameObject", "f_frame"):
            return self.structs.number(top_frame, "PyFrameObject", "f_frame")
        return top_frame

    def _find_pattern(self, first: int, saved: Overlay) -> Pattern | None:
        """What the frames from `first` on are like. Raises ReadError."""
        start, size, unpack = self._group
        if not self._patterns or saved[0] <= first < saved[1]:
            return None
        known = self._patterns.get(unpack(self.structs.memory.read(first + start, size))[:2], ())
        return next((one for one in known if one.fits(self.structs, first, saved)), None)

    def _make(self, links: Sequence[Link], saved: Overlay, error: ReadError | None) -> Walked:
        shown = [link for link in links if link.stand]
        stands = tuple(link.stand for link in shown if link.stand)
        alike = self._alike.setdefault(stands, Alike(len(self._alike), stands))
        first = links[0].at if links else 0
        if error is None and links and self._has_records:
            self._remember(links, saved, alike)
        return Walked(first, [first - link.at for link in shown], alike, error)

    def _remember(self, links: Sequence[Link], saved: Overlay, alike: Alike) -> None:
        """Others may stand so, if all is where it belongs, and not far apart."""
        first, last = links[0].at, min(link.at for link in links)
        is_near = first - last < SPAN_LIMIT and len(links) <= RECORDS_LIMIT and first == max(link.at for link in links)
        is_saved = any(saved[2] <= link.at < saved[2] + saved[1] - saved[0] for link in links)
        if is_near and not is_saved:
            known = self._patterns.setdefault(links[0].words[:2], [])
            known.append(Pattern(self.structs, links, alike))
            del known[:-PATTERNS_LIMIT]

    def _objects(self, address: int, saved: Overlay) -> Iterator[Link]:
        """To 3.10: as read_object does."""
        start, size, unpack = self._group
        read, unit = self.structs.memory.read, self.structs.layout.formats.lasti_unit
        seen: set[int] = set()
        while address:
            at = _find(address, saved, seen)
            address, code, lasti, variables = unpack(read(at + start, size))
            yield Link(at, (code, ((lasti ^ SIGN) - SIGN) * unit, variables))  # -1 before the first instruction

    def _records(self, address: int, saved: Overlay) -> Iterator[Link]:
        """From 3.11 on: as read_record does."""
        start, size, unpack = self._group
        starts, mask = self.structs.starts, self.structs.layout.formats.pointer_mask
        seen: set[int] = set()
        while address:
            at = _find(address, saved, seen)
            words = unpack(self.structs.memory.read(at + start, size))
            word, pointer, variables, address = words
            code = word & mask
            begun = starts[code] if code in starts else find_start(self.structs, at, code)
            is_frame = begun is not None and pointer >= begun.traceable
            yield Link(at, (code, pointer - begun.first, variables) if begun and is_frame else None, words)


def _find(address: int, saved: Overlay, seen: set[int]) -> int:
    """Where the frame that belongs at `address` is now. Raises ReadError where it was `seen` before."""
    if address in seen or len(seen) >= FRAMES_LIMIT:
        raise ReadError(f"the frames come back to {address:#x}, or are more than {FRAMES_LIMIT}")
    seen.add(address)
    start, end, copy = saved
    return copy + address - start if start <= address < end else address
