"""What may have moved between the dry run and the stop: where threads stand, and what is read of a frame there.

Threads stand still meanwhile, so no more than that is read, and nothing of what has not moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from lastwords.capture.memory import ReadError
from lastwords.cpython import Interpreter
from lastwords.cpython.frame import Place, read_frames, read_places
from lastwords.cpython.holding.takers import Takers
from lastwords.cpython.locals import read_locals
from lastwords.cpython.threads import PythonThread


class Recheck:
    """Remembers where threads stood. Of what is read here only the pages matter, which the memory remembers."""

    def __init__(self, *, with_locals: bool) -> None:
        self.with_locals = with_locals
        self._places: set[Place] = set()
        self._code: set[int] = set()

    def note(self, interp: Interpreter) -> None:
        """Where every thread stands while it runs. Raises ReadError where the threads cannot be listed."""
        for _, places in _stands(interp):
            self._places.update(places)
            self._code.update(place.code for place in places)

    def touch(self, interp: Interpreter) -> None:
        """Read what has moved since. Raises ReadError where the threads cannot be listed."""
        for tstate, places in _stands(interp):
            moved = [place for place in places if place not in self._places]
            read_frames(interp, (place for place in moved if place.code not in self._code))
            with suppress(ReadError):
                Takers(interp, [PythonThread(tstate, 0, 0, places=moved)], ())
            if self.with_locals:
                for place in moved:
                    read_locals(interp, place)


def _stands(interp: Interpreter) -> Iterator[tuple[int, list[Place]]]:
    """(PyThreadState, its places) of every thread; the frames of one that runs may make no sense for an instant."""
    for state in interp.interpreters():
        for tstate in interp.thread_states(state):
            with suppress(ReadError):
                yield tstate, list(read_places(interp, tstate))
