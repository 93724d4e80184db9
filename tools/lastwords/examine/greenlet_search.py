"""Where a process's greenlets are: searched before it is stopped, for they are the needles and its memory the hay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from lastwords.capture.memory import Memory, ReadError
from lastwords.capture.procfs import PROC, Mapping
from lastwords.cpython import Interpreter
from lastwords.greenlets.module import FindImage, find_module
from lastwords.greenlets.pages import Areas, all_of, find_present
from lastwords.greenlets.recheck import Words, read_words, touch_changed
from lastwords.greenlets.search import Found, find_greenlets

GREENLETS = "greenlets"  # what a snapshot's note calls them


class GreenletSearch(msgspec.Struct):
    """What was found, and how the file of greenlet's module is found; `words` is how the greenlets were then."""

    find_image: FindImage
    found: Found = msgspec.field(default_factory=Found)
    words: Words = {}

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


def search_process(
    interp: Interpreter, memory: Memory, maps: Sequence[Mapping], find_image: FindImage, proc: Path = PROC
) -> GreenletSearch:
    """All greenlets of a live process, from its `memory` as it runs: what is searched is not kept. Raises nothing."""
    pid = interp.pid or 0
    return _search(interp, memory, find_image, lambda: find_present(pid, maps, proc))


def search_core(interp: Interpreter, memory: Memory, maps: Sequence[Mapping], find_image: FindImage) -> GreenletSearch:
    """All greenlets in a core file. Raises nothing."""
    return _search(interp, memory, find_image, lambda: all_of(maps))


def _search(
    interp: Interpreter, memory: Memory, find_image: FindImage, find_areas: Callable[[], Areas]
) -> GreenletSearch:
    search = GreenletSearch(find_image)
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
