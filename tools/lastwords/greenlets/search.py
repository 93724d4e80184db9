"""All greenlets of a process, by searching its memory: not by the collector's lists, which may be in pieces.

From greenlet 2 on each greenlet's state (a C++ object) begins with the address of one of two tables, those of its
classes UserGreenlet and MainGreenlet, and points back at the greenlet. Where the module is stripped of the names of
these tables they are learned from a greenlet that the search for types has found. To greenlet 1, and there, what is
searched are the addresses of the types, which every object has in its second word: `greenlet.greenlet` and what is
made from it, by `tp_subclasses`.

What this does not see: greenlets whose memory is swapped out; those that were made after the search, unless another
one leads to them; types of a greenlet that were taken out of `tp_subclasses` (to greenlet 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from lastwords.capture.memory import Memory, Range, ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.dicts import read_items
from lastwords.cpython.structs import DICT, LIST, POINTER, Structs
from lastwords.cpython.text import read_length
from lastwords.greenlets.greenlet import GreenletState, read_greenlet
from lastwords.greenlets.module import Module
from lastwords.greenlets.pages import Areas
from lastwords.greenlets.words import find_words

TABLES = ("_ZTVN8greenlet12UserGreenletE", "_ZTVN8greenlet12MainGreenletE")
TABLE_HEAD = 2 * POINTER  # of a C++ table of virtual functions: what objects point at is behind it
TYPES_LIMIT = 10_000
BATCH = 4096  # greenlets
EXAMPLES = 16


class Found(msgspec.Struct):
    """Addresses of greenlets, and how many bytes were searched; not searched: swapped out, or beyond our limit.

    examples: those of the greenlets that are to be looked at, where the others are like them
    """

    addresses: list[int] = []
    examples: list[int] = []
    searched: int = 0
    swapped: int = 0
    left: int = 0
    problems: list[str] = []


def find_greenlets(module: Module, memory: Memory, areas: Areas) -> Found:
    """All greenlets in these areas of `memory`, each checked once; by rising address."""
    found = Found(searched=areas.size, swapped=areas.swapped, left=areas.left)
    addresses = _find_by_tables(module, memory, areas.ranges) if module.is_split else None
    if addresses is None:
        addresses = _find_by_types(module, memory, areas.ranges, find_types(module))
    states = {one: state for one in addresses if (state := _read_or_none(module, one))}
    found.addresses = sorted(states)
    found.examples = list(_choose_examples(states[one] for one in found.addresses))
    return found


def _read_or_none(module: Module, address: int) -> GreenletState | None:
    try:
        return read_greenlet(module, address)
    except ReadError:
        return None


def _choose_examples(states: Iterable[GreenletState]) -> Iterator[int]:
    """A few of each type that have as much of their C stacks saved: these mostly stand in the same functions."""
    seen = Counter[tuple[int, str, int]]()
    for one in states:
        like = (one.kind, one.state, one.stack.saved)
        seen[like] += 1
        if seen[like] <= EXAMPLES:
            yield one.address


def _find_by_tables(module: Module, memory: Memory, ranges: Sequence[Range]) -> Iterator[int] | None:
    """None where the tables of the classes are not known."""
    tables = _find_tables(module) or _learn_tables(module, memory, ranges)
    if tables is None:
        return None
    states = (state for state, _ in find_words(memory, ranges, tables, are_near=True))
    return _read_owners(module, states)


def _find_tables(module: Module) -> list[int] | None:
    named = [module.image.address(name) for name in TABLES] if module.image else []
    return [one + TABLE_HEAD for one in named if one] if named and all(named) else None


def _learn_tables(module: Module, memory: Memory, ranges: Sequence[Range]) -> list[int] | None:
    """From a main greenlet and one that is none; None where there are not both."""
    known: dict[bool, int] = {}
    for of_type in find_types(module):
        for address in _find_by_types(module, memory, ranges, [of_type]):
            try:
                is_main = read_greenlet(module, address).is_main
                known.setdefault(is_main, module.interp.pointer(module.pointer(address, "PyGreenlet", "pimpl")))
            except ReadError:
                continue
            if len(known) == 2:
                return list(known.values())
    return None


def _read_owners(module: Module, states: Iterator[int]) -> Iterator[int]:
    """What these say they belong to, if they are C++ objects of greenlets: nothing is checked.

    What is read of them, and by who checks them, is fetched for many at once, and then forgotten.
    """
    structs = ("Greenlet",) if module.layout.has("Greenlet", "self") else ("UserGreenlet", "MainGreenlet")
    offsets = {module.layout.offset(one, "self") for one in structs}
    cache, size = module.interp.cache, module.layout.size("PyGreenlet")
    while several := list(islice(states, BATCH)):
        cache.clear()
        cache.prefetch([(one, module.layout.size("UserGreenlet")) for one in several])
        owners = [owner for one in several for offset in offsets if (owner := _read_word(module, one + offset))]
        cache.prefetch([(one, size) for one in owners])
        yield from owners


def _read_word(module: Module, address: int) -> int:
    """0 where nothing is."""
    try:
        return module.interp.pointer(address)
    except ReadError:
        return 0


def _find_by_types(module: Module, memory: Memory, ranges: Sequence[Range], types: Sequence[int]) -> Iterator[int]:
    offset = module.interp.at(0, "PyObject", "ob_type")
    return (address - offset for address, _ in find_words(memory, ranges, types))


def find_types(module: Module) -> list[int]:
    """`greenlet.greenlet` and all types that are made from it, as far as they can be read."""
    found = {module.type: None}
    waiting = [module.type]
    while waiting and len(found) < TYPES_LIMIT:
        try:
            following = [one for one in read_subclasses(module.interp, waiting.pop()) if one not in found]
        except ReadError:
            continue
        known = [one for one in following if module.is_type(one)]
        found.update(dict.fromkeys(known))
        waiting += known
    return list(found)


def read_subclasses(structs: Structs, of_type: int) -> list[int]:
    """`tp_subclasses`: a list of weak references (2.7), or a dict with them as its values."""
    kept = structs.number(of_type, "PyTypeObject", "tp_subclasses")
    if not kept:
        return []
    flags = structs.type_flags(kept)
    if flags & DICT:
        references = [value for _, value in read_items(structs, kept, TYPES_LIMIT)]
    elif flags & LIST:
        references = _read_list(structs, kept)
    else:
        references = read_tuple(structs, kept, TYPES_LIMIT)
    return [structs.number(one, "PyWeakReference", "wr_object") for one in references if one]


def _read_list(structs: Structs, address: int) -> list[int]:
    count = min(read_length(structs, address), TYPES_LIMIT)
    return structs.pointers(structs.number(address, "PyListObject", "ob_item"), count)
