"""Which greenlets have switched between the dry run and the stop: their own words tell, without their frames."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from lastwords.capture.memory import ReadError
from lastwords.cpython.structs import POINTER
from lastwords.greenlets.greenlet import read_frames, read_greenlet
from lastwords.greenlets.module import Module
from lastwords.greenlets.stacks import Stacks

Words = dict[int, bytes | None]  # of each greenlet, by its address


def read_words(module: Module, addresses: Sequence[int]) -> Words:
    """The bytes of each greenlet's state, from where its stack begins to its frame; a few system calls for all."""
    memory, layout = module.interp.memory, module.layout
    states = list(addresses)
    if module.is_split:
        offset = layout.offset("PyGreenlet", "pimpl")
        found = memory.read_many([(address + offset, POINTER) for address in addresses])
        states = [int.from_bytes(data or b"", "little") for data in found]
    start, end = layout.offset("Greenlet", "stack_start"), layout.offset("Greenlet", "top_frame") + POINTER
    return dict(zip(addresses, memory.read_many([(one + start, end - start) for one in states]), strict=True))


def touch_changed(module: Module, before: Words) -> None:
    """Read the frames of those that have switched since: only the pages matter, which the memory remembers."""
    now = read_words(module, list(before))
    for address in (one for one in before if now[one] != before[one]):
        with suppress(ReadError):
            _touch(module, address)


def _touch(module: Module, address: int) -> None:
    found = read_greenlet(module, address)
    Stacks(module.interp).read_walked(read_frames(module, found), with_locals=False)
