"""Our own garbage collector, kept out of what must not wait for it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """While others stand still for us; while modules are loaded, or a report is made: all of it is to stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def collect_no_more() -> None:
    """For a process that is about to end: what it has is not looked through once more."""
    gc.disable()
    gc.freeze()
