"""gevent's objects that a suspended greenlet works with: what its frames and the words of its C stack lead to.

gevent's own functions are C (Cython): what they work with is on the greenlet's saved C stack, and nothing names it
there. A word that is the address of an object of one of gevent's classes is a candidate; what it has to do with the
greenlet, the object itself must say.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from lastwords.capture.memory import ReadError
from lastwords.capture.procfs import Mapping
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.structs import LIST, POINTER, TUPLE
from lastwords.cpython.text import read_length
from lastwords.cpython.waiting.candidates import read_words
from lastwords.greenlets.greenlet import SavedStack

STACK_SIZE = 8192  # innermost bytes of the C stack: gevent's functions are the last that were called
LISTED_LIMIT = 1000  # items of one list
FRAMES = 6  # innermost Python frames
TAGGED = POINTER - 1
HEAD = 2 * POINTER  # of an object
FEW = 8  # are fetched one by one
REFERENCES_LIMIT = 1 << 32
Shape = tuple[object, ...]
Candidates = dict[int, str]  # the kind of each object, by its address


class Objects:
    """Finds the candidates of one greenlet after the other.

    `classes`: the kind of each class of gevent's. Where greenlets stand alike, the same words of their stacks lead to
    what they wait for: once these are known, no others are looked at.
    """

    def __init__(self, interp: Interpreter, classes: dict[int, str], maps: Sequence[Mapping]) -> None:
        self.interp = interp
        self.classes = classes
        self._writable = [(one.start, one.end) for one in maps if "w" in one.permissions]
        self._starts = [start for start, _ in self._writable]
        self._places: dict[Shape, list[int]] = {}

    def find(self, stack: SavedStack, places: Sequence[Place]) -> Candidates:
        """The candidates, innermost first. What cannot be read is left out."""
        found = self._keep(dict.fromkeys([*self._read_stack(stack), *(words := list(self._read_frames(places)))]))
        listed = [item for word in dict.fromkeys(words) for item in self._read_list(word)]
        return {**found, **self._keep(dict.fromkeys(listed))} if listed else found

    def _read_list(self, address: int) -> list[int]:
        """The items of a list or tuple that a Python frame knows: gevent 1.0 keeps so what one waits for."""
        try:
            is_list = address and not address & TAGGED and self.interp.type_flags(address) & (LIST | TUPLE)
            if not is_list or not 0 < (count := read_length(self.interp, address)) <= LISTED_LIMIT:
                return []
            if self.interp.type_flags(address) & TUPLE:
                return read_tuple(self.interp, address, LISTED_LIMIT)
            return self.interp.pointers(self.interp.number(address, "PyListObject", "ob_item"), count)
        except ReadError:
            return []

    def find_again(self, shape: Shape, stack: SavedStack) -> Candidates:
        """Those at the places that `remember` was told of for greenlets of this shape; empty before."""
        places = self._places.get(shape)
        if not places:
            return {}
        words: list[int] = []
        for at in places:
            try:
                words.append(self.interp.pointer(stack.find(stack.start + at)))
            except ReadError:
                continue
        return self._keep(words)

    def remember(self, shape: Shape, stack: SavedStack, wanted: Iterable[int]) -> None:
        """Where on the stack these objects are."""
        words = list(self._read_stack(stack))
        self._places[shape] = [words.index(one) * POINTER for one in wanted if one in words]

    def _read_stack(self, stack: SavedStack) -> list[int]:
        """The innermost words, each from where it is now: saved, or still in place."""
        stop = min(stack.stop, self._find_end(stack.start))  # of a main greenlet it is not known, and may be near
        size = max(min(STACK_SIZE, stop - stack.start), 0) & ~TAGGED
        saved = min(stack.saved, size) & ~TAGGED
        parts = [(stack.copy, saved), (stack.start + saved, size - saved)]
        found = self.interp.memory.read_many([part for part in parts if part[1]])
        data = b"".join(one or b"" for one in found)
        return [int.from_bytes(data[at : at + POINTER], "little") for at in range(0, len(data), POINTER)]

    def _read_frames(self, places: Sequence[Place]) -> Iterator[int]:
        for place in places[:FRAMES]:
            try:
                yield from read_words(self.interp, place)
            except ReadError:
                continue

    def _keep(self, words: Iterable[int]) -> Candidates:
        """Of these words the addresses of living objects of gevent's."""
        addresses = [word for word in words if word and not word & TAGGED and self._is_writable(word)]
        if len(addresses) > FEW:
            self.interp.cache.prefetch([(one, HEAD) for one in addresses])
        found: Candidates = {}
        for address in addresses:
            try:
                references, of_type = self.interp.numbers(address, "PyObject", "ob_refcnt", "ob_type")
            except ReadError:
                continue
            kind = self.classes.get(of_type)
            if kind and 0 < references < REFERENCES_LIMIT:
                found[address] = kind
        return found

    def _is_writable(self, address: int) -> bool:
        return address + HEAD <= self._find_end(address)

    def _find_end(self, address: int) -> int:
        """Of the writable mapping that it is in, or of the last before it."""
        at = bisect_right(self._starts, address) - 1
        return self._writable[at][1] if at >= 0 else 0
