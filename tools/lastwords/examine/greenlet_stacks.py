"""The C stacks of suspended greenlets, merged with their Python frames like those of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastwords.capture.memory import ReadError
from lastwords.examine.greenlet_search import Suspended
from lastwords.examine.stacks import add_merged
from lastwords.greenlets.module import Module
from lastwords.greenlets.segments import read_suspended
from lastwords.greenlets.switch import Switch, read_stopped
from lastwords.native.unwind import NativeStack, Unwinder

FRAME_SIZE = 512  # bytes, at most, of the frame in which a greenlet's stack ends

if TYPE_CHECKING:
    from lastwords.examine.read import Source


def add_greenlet_stacks(source: Source, unwinder: Unwinder) -> None:
    """Makes the stacks of the moment's suspended greenlets ones of C and Python frames, where these are wanted."""
    search = source.greenlets
    if search is None or search.wanted is None or search.switch is None:
        return
    for one in search.wanted.suspended:
        try:
            _add(source, search.wanted.module, one, search.switch, unwinder)
        except ReadError as error:
            one.greenlet.error = one.greenlet.error or f"its C stack: {error}"


def _add(source: Source, module: Module, one: Suspended, switch: Switch, unwinder: Unwinder) -> None:
    greenlet = one.greenlet
    stopped = read_stopped(switch, one.found.stack, source.captured.memory)
    native = unwinder.unwind(stopped.registers, stop=stopped.stop, overlay=stopped.saved)
    if _is_whole(native, stopped.stop):
        native.error = None
    add_merged(greenlet, native, read_suspended(module, one.found), source.interp)


def _is_whole(native: NativeStack, stop: int | None) -> bool:
    """Whether it ends where a greenlet's stack does, inside the frame of the C function that began the greenlet.

    That frame is not the greenlet's alone, and what it holds of its caller may not be there any more.
    """
    return stop is not None and bool(native.frames) and 0 <= stop - native.frames[-1].sp <= FRAME_SIZE
