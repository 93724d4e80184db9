"""What may have moved between the dry run and the stop: where threads stand, and what is read of a frame there.

Threads stand still meanwhile. So only where a byte has changed is looked again, and what was learned in the dry run is
not read a second time: its pages are in the copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from lastwords.capture.memory import PAGE, Memory, Range, ReadError, UncachedMemory
from lastwords.capture.stop.copied import CompletingMemory, Parts
from lastwords.capture.stop.shared import SharedMemory
from lastwords.cpython import Interpreter
from lastwords.cpython.frame import Place, read_frames, read_places
from lastwords.cpython.holding.takers import Takers
from lastwords.cpython.locals import read_locals
from lastwords.cpython.threads import PythonThread


class Recheck:
    """Remembers where threads stood. Of what is read here only the pages matter, which the memory remembers.

    interp: what the dry run has read with, and learned much of that is by address
    """

    def __init__(self, interp: Interpreter, *, with_locals: bool) -> None:
        self.interp = interp
        self.with_locals = with_locals
        self._places: set[Place] = set()
        self._code: set[int] = set()
        self._lists: Parts = {}  # where the threads are listed, if that could be read,
        self._frames: dict[int, Parts] = {}  # and where the frames of each are

    def note(self) -> bool:
        """Where every thread stands while it runs. False where threads came and went as they were listed."""
        try:
            with noting(self.interp) as lists:
                threads = _list(self.interp)
        except ReadError:
            return False
        self._lists = lists
        for tstate in threads:
            with suppress(ReadError), noting(self.interp) as parts:  # of one that runs they may make no sense
                places = list(read_places(self.interp, tstate))
                self._frames[tstate] = parts
                self._places.update(places)
                self._code.update(place.code for place in places)
        return True

    def touch(self, memory: CompletingMemory) -> None:
        """Read what has moved since. Raises ReadError where the threads cannot be listed."""
        self.move_to(memory)
        for tstate in _list(self.interp) if not self._lists or memory.changed(self._lists) else self._frames:
            parts = self._frames.get(tstate)
            if parts is None or memory.changed(parts):
                self._touch(tstate)

    def move_to(self, memory: CompletingMemory) -> None:
        """Read there from now on; the program's own files are not opened while it stands still."""
        self.interp.memory = self.interp.cache = SharedMemory(memory)
        self.interp.sources = None

    def _touch(self, tstate: int) -> None:
        with suppress(ReadError):
            moved = [place for place in read_places(self.interp, tstate) if place not in self._places]
            read_frames(self.interp, (place for place in moved if place.code not in self._code))
            Takers(self.interp, [PythonThread(tstate, 0, 0, places=moved)], ())
            for place in moved if self.with_locals else ():
                read_locals(self.interp, place)


class _NotingMemory(UncachedMemory):
    """Remembers what was asked for: of each page, from the first byte to the last."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.parts: dict[int, tuple[int, int]] = {}

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        self._note(address, address + size)
        return super().read(address, size)

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        for address, size in ranges:
            self._note(address, address + size)
        return super().read_many(ranges)

    def _note(self, start: int, end: int) -> None:
        for number in range(start & -PAGE, end, PAGE):
            first, last = self.parts.get(number, (PAGE, 0))
            self.parts[number] = min(first, max(start - number, 0)), max(last, min(end - number, PAGE))


@contextmanager
def noting(interp: Interpreter) -> Iterator[Parts]:
    """What is read meanwhile."""
    memory = interp.memory
    interp.memory = noted = _NotingMemory(memory)
    try:
        yield noted.parts
    finally:
        interp.memory = memory


def _list(interp: Interpreter) -> list[int]:
    """The PyThreadStates of all threads, read with their idents: a state may lie across two pages. Raises ReadError."""
    return [tstate for tstate, _, _ in interp.threads()]
