"""Where a process's greenlets are: searched before it is stopped, for they are the needles and its memory the hay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lastwords.capture.memory import Memory, Range, ReadError
from lastwords.capture.procfs import PROC, Mapping, read_maps
from lastwords.capture.stop.copied import ALONG_LIMIT
from lastwords.cpython import Interpreter
from lastwords.greenlets.greenlet import GreenletState
from lastwords.greenlets.module import FindImage, Module, find_module
from lastwords.greenlets.pages import Areas, all_of, find_present, is_own
from lastwords.greenlets.recheck import Words, read_words, touch_changed
from lastwords.greenlets.search import Found, find_greenlets
from lastwords.greenlets.segments import read_suspended
from lastwords.greenlets.switch import Switch, find_switch
from lastwords.model import Greenlet

GREENLETS = "greenlets"  # what a snapshot's note calls them
OWN_SIZE = 12 << 10  # bytes that a greenlet and its stacks take, or little more: they are two or three pages


class Suspended(msgspec.Struct):
    """A suspended greenlet of the report whose C stack is wanted, as it was read."""

    greenlet: Greenlet
    found: GreenletState


class Wanted(msgspec.Struct):
    """Those of one moment."""

    module: Module
    suspended: list[Suspended]


class GreenletSearch(msgspec.Struct):
    """What was found, and how the file of greenlet's module is found.

    words: how the greenlets were then
    switch: where those that are suspended stand in C; None where that is not known
    wanted: whose C stacks are wanted, in the moment that was read last
    is_whole: whether these are all that were found
    """

    find_image: FindImage
    found: Found = msgspec.field(default_factory=Found)
    words: Words = {}
    switch: Switch | None = None
    wanted: Wanted | None = None
    is_whole: bool = True

    @property
    def is_most(self) -> bool:
        """Whether a process's memory is little else than its greenlets: all of it is copied as fast as they are."""
        found = self.found
        is_all = bool(found.addresses) and not found.swapped and not found.left
        return is_all and found.searched <= OWN_SIZE * len(found.addresses)

    def note(self, interp: Interpreter) -> None:
        """Remembers how they are while the process runs."""
        with suppress(ReadError):
            module = find_module(interp, self.find_image)
            self.words = read_words(module, self.found.addresses) if module else {}

    def touch(self, interp: Interpreter) -> None:
        """Reads those that have switched since. Raises ReadError."""
        module = find_module(interp, self.find_image) if self.words else None
        if module is not None:
            touch_changed(module, self.words)


def find_examples(search: GreenletSearch, pid: int, proc: Path = PROC) -> tuple[GreenletSearch, Sequence[Range]]:
    """A few of the greenlets of a live process, and all of its own memory: what the others take is in there.

    All greenlets, and nothing, where their memory is but a part of it, or too much.
    """
    if not search.is_most:
        return search, ()
    try:
        areas = find_present(pid, read_maps(pid, proc), proc, is_own)
    except OSError:
        return search, ()
    if areas.swapped or areas.size > ALONG_LIMIT:
        return search, ()
    return replace(search, found=replace(search.found, addresses=search.found.examples), is_whole=False), areas.ranges


def choose(module: Module, pairs: Sequence[tuple[Greenlet, GreenletState]], *, each: bool) -> Wanted:
    """Which suspended greenlets are to have a C stack: each, or the first of those that stand alike.

    Where its thread has ended, what of it was not saved may be anybody's by now.
    """
    chosen: dict[object, Suspended] = {}
    for greenlet, found in pairs:
        is_there = greenlet.thread or found.stack.start + found.stack.saved == found.stack.stop
        if greenlet.state == "suspended" and is_there:
            stack = tuple((frame.file, frame.line, frame.function) for frame in greenlet.stack)
            chosen.setdefault(greenlet.id if each else (greenlet.type, stack), Suspended(greenlet, found))
    return Wanted(module, list(chosen.values()))


def touch(wanted: Wanted, memory: Memory) -> None:
    """Read what their C stacks take, so that it is captured."""
    stacks = [one.found.stack for one in wanted.suspended]
    memory.read_many([(stack.copy, stack.saved) for stack in stacks if stack.saved])
    for one in wanted.suspended:
        try:
            read_suspended(wanted.module, one.found)
        except ReadError:
            continue


def search_process(
    interp: Interpreter, memory: Memory, maps: Sequence[Mapping], find_image: FindImage, proc: Path = PROC
) -> GreenletSearch:
    """All greenlets of a live process, from its `memory` as it runs: what is searched is not kept. Raises nothing."""
    pid = interp.pid or 0
    return _search(interp, memory, find_image, lambda: find_present(pid, maps, proc))


def search_core(interp: Interpreter, memory: Memory, maps: Sequence[Mapping], find_image: FindImage) -> GreenletSearch:
    """All greenlets in a core file. Raises nothing."""
    return _search(interp, memory, find_image, lambda: all_of(maps))


def known_greenlets(
    interp: Interpreter, memory: Memory, find_image: FindImage, addresses: Sequence[int]
) -> GreenletSearch:
    """Those whose addresses are known, in a snapshot. Raises nothing."""
    search = GreenletSearch(find_image, Found(list(addresses)))
    with suppress(ReadError):
        module = find_module(interp, find_image)
        search.switch = find_switch(module.image, memory) if module and module.image else None
    return search


def _search(
    interp: Interpreter, memory: Memory, find_image: FindImage, find_areas: Callable[[], Areas]
) -> GreenletSearch:
    search = known_greenlets(interp, memory, find_image, ())
    try:
        module = find_module(interp, find_image)
    except ReadError:  # it is asked for again in the moment itself, and is said then
        return search
    try:
        if module is not None:
            search.found = find_greenlets(module, memory, find_areas())
    except (ReadError, OSError) as error:
        search.found.problems.append(f"its memory was not searched for greenlets: {error}")
    return search
