"""Many greenlets at once: what reading them will take is fetched ahead, a few system calls for all of them.

And no more than that: reading one by one, the memory behind us would fetch what lies around each, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from lastwords.capture.memory import ReadError
from lastwords.cpython.structs import POINTER
from lastwords.greenlets.module import Module


def fetch_ahead(module: Module, addresses: Sequence[int]) -> None:
    """Have the module's memory, which remembers pages, fetch the greenlets, their states, and their first frames."""
    structs, layout = module.interp, module.layout
    if structs.cache.is_copy:
        return
    states = list(addresses)
    if module.is_split:
        states = _follow(module, addresses, layout.offset("PyGreenlet", "pimpl"))
        structs.cache.prefetch([(one, layout.size("UserGreenlet")) for one in states])
    frames = _follow(module, states, layout.offset("Greenlet", "top_frame"))
    if structs.has("PyFrameObject", "f_frame"):
        frames = _follow(module, frames, structs.layout.offset("PyFrameObject", "f_frame"))
    name = "_PyInterpreterFrame" if structs.has("_PyInterpreterFrame") else "PyFrameObject"
    structs.cache.prefetch([(one, structs.layout.size(name)) for one in frames])


def _follow(module: Module, addresses: Sequence[int], offset: int) -> list[int]:
    """The pointers that stand there, without those that are NULL or cannot be read."""
    module.interp.cache.prefetch([(address + offset, POINTER) for address in addresses])
    found: list[int] = []
    for address in addresses:
        with suppress(ReadError):
            found.append(module.interp.pointer(address + offset))
    return [pointer for pointer in found if pointer]
