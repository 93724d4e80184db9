"""Which objects the code of a greenlet leads to: who could still set the event that another waits for.

From the variables of its frames and the globals that their code names, through attributes, items, closures and the
code of functions, as far as the bounds allow. Modules are not followed, only what code names of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_attributes, read_tuple
from lastwords.cpython.code import find_function_code
from lastwords.cpython.deques import is_deque
from lastwords.cpython.dicts import find_item, read_items
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.expressions import read_globals
from lastwords.cpython.holding.with_blocks import read_bound
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.members import read_members
from lastwords.cpython.structs import DICT, LIST, POINTER, TUPLE, TYPE
from lastwords.cpython.text import read_name
from lastwords.cpython.types import Kind, is_subtype, type_of
from lastwords.cpython.waiting.candidates import read_words
from lastwords.greenlets.cython_fields import Fields
from lastwords.greenlets.waits_links import read_container, read_own_words

DEPTH = 5
OBJECTS_LIMIT = 3000  # of one greenlet
ITEMS_LIMIT = 200  # of one object
FRAMES_LIMIT = 50
NAMES_LIMIT = 1000
NAME_LIMIT = 1024


class Reaches:
    """Follows references in one moment. `is_complete`: False once a bound was hit or something was not read."""

    def __init__(self, interp: Interpreter, fields: Fields, classes: dict[int, str]) -> None:
        self.interp, self.fields, self.classes = interp, fields, classes
        self.is_complete = True

    def find(self, places: Sequence[Place], wanted: set[int], more: Sequence[int] = ()) -> set[int]:
        """Those of `wanted` to which these frames lead, or these objects."""
        found: set[int] = set()
        seen: set[int] = set()
        level = [*more, *(one for place in places[:FRAMES_LIMIT] for one in self._tolerant(self._of_frame(place)))]
        self.is_complete &= len(places) <= FRAMES_LIMIT
        for _ in range(DEPTH):
            following: list[int] = []
            for address in level:
                if address and address not in seen and not address % POINTER:
                    seen.add(address)
                    found |= wanted & {address}
                    if len(seen) > OBJECTS_LIMIT:
                        self.is_complete = False
                        return found
                    following += self._tolerant(self._of_object(address))
            level = following
        return found

    def _tolerant(self, objects: Iterator[int]) -> list[int]:
        """As far as they can be read: a stale word of a frame leads anywhere."""
        known: list[int] = []
        try:
            for one in islice(objects, ITEMS_LIMIT + 1):
                known.append(one)
        except ReadError:
            pass
        self.is_complete &= len(known) <= ITEMS_LIMIT
        return known

    def _of_frame(self, place: Place) -> Iterator[int]:
        yield from read_words(self.interp, place)
        yield from self._of_code(place.code, read_globals(self.interp, place))

    def _of_code(self, code: int, variables: int) -> Iterator[int]:
        """The globals that it names, and those of the functions inside it."""
        names = read_tuple(self.interp, self.interp.number(code, "PyCodeObject", "co_names"), NAMES_LIMIT)
        for name in names:
            found = find_item(self.interp, variables, read_name(self.interp, name, NAME_LIMIT))
            if found:
                yield found

    def _of_object(self, address: int) -> Iterator[int]:
        kind = type_of(self.interp, address)
        is_object = self.interp.type_flags(kind.address) & TYPE  # a word of C's leads anywhere
        if not is_object or kind.flags & TYPE or is_subtype(self.interp, kind, "module"):
            return
        if kind.flags & (LIST | TUPLE) or kind.is_static("set") or is_deque(self.interp, kind):
            yield from read_container(self.fields, address)
        elif kind.flags & DICT:
            yield from (value for _, value in read_items(self.interp, address, ITEMS_LIMIT + 1))
        elif kind.is_static("cell"):
            yield self.interp.number(address, "PyCellObject", "ob_ref")
        elif kind.is_static("function"):
            yield from self._of_function(address)
        elif bound := read_bound(self.interp, address):
            yield bound
            if kind.is_static("method") or kind.is_static("instancemethod"):
                yield self.interp.number(address, "PyMethodObject", "im_func")
        else:
            yield from self._of_instance(address, kind)

    def _of_function(self, address: int) -> Iterator[int]:
        closure = self.interp.number(address, "PyFunctionObject", "func_closure")
        yield from read_tuple(self.interp, closure) if closure else ()
        code = find_function_code(self.interp, address)
        if code:
            yield from self._of_code(code, self.interp.number(address, "PyFunctionObject", "func_globals"))

    def _of_instance(self, address: int, kind: Kind) -> Iterator[int]:
        if kind.address in self.classes:  # Cython's fields have no names
            yield from (word for word in read_own_words(self.fields, address) if word)
        if kind.is_heap or kind.is_static("instance"):
            yield from (value for _, value in read_attributes(self.interp, address))
            yield from (value for _, value in read_members(self.interp, address, kind))
