"""Our own garbage collector, kept out of what must not wait for it."""

from __future__ import annotations

import _thread
import atexit
import gc
import os
import sys
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


class _Process:
    is_ours = False


def own_process() -> None:
    """Says that this process is here for one command alone: see `all_kept`."""
    _Process.is_ours = True


@contextmanager
def all_kept() -> Iterator[None]:
    """No collection, nor one of what was made meanwhile when it is over: that would be looked through three times.

    In a process of others, as in that of who calls lastwords from Python, it is theirs to look through, too.
    """
    with no_collection():
        yield
        if _Process.is_ours:
            gc.freeze()


def end_at_once(code: int) -> None:
    """Ends the process where nobody else's thread runs in it; taking it apart piece by piece would take 30 ms.

    It returns where something is left to do: a thread, or an output that does not take what is written, of which the
    interpreter then says what it says.
    """
    gc.disable()
    gc.freeze()  # what it has is not looked through once more
    if _thread._count() or not _flush():  # of threads beside this one
        return
    atexit._run_exitfuncs()  # what has been registered is done all the same
    if _flush():
        os._exit(code)


def _flush() -> bool:
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return False
    return True
