"""C stacks: the one interface to them, for a live process, a core file, a snapshot and a suspended greenlet alike.

Memory, images and registers are all that is needed: no debugger, no link map, no core file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.memory import Memory
from lastwords.native.images import NativeImage

Overlay = Sequence[tuple[int, bytes]]


class NativeFrame(msgspec.Struct):
    """A frame of C code.

    pc: where it goes on: in a frame that has called another, the return address, which is behind the call
    sp: of its caller's frame the next one says it; an inlined frame has the pc and sp of the one it is inlined into
    offset: pc as `library`, a path of the target's, counts addresses
    guessed: found without unwind tables, by frame pointers, or by way of a frame that was
    is_signal: the frame from which a signal's handler returns; its caller is what the signal interrupted
    """

    pc: int
    sp: int
    function: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    library: str | None = None
    offset: int | None = None
    inlined: bool = False
    guessed: bool = False
    is_signal: bool = False


class NativeStack(msgspec.Struct):
    """Frames, innermost first; `error` says why they end early, if they do."""

    frames: list[NativeFrame]
    error: str | None = None


class Unwinder(Protocol):
    """Unwinds any thread of one moment."""

    def unwind(self, registers: Registers, *, stop: int | None = None, overlay: Overlay = ()) -> NativeStack:
        """The stack of a thread with these registers; those that are not known are not there.

        stop: end at the first frame whose sp is at or above it
        overlay: (address, bytes) that lie over the memory this once: what a suspended greenlet has saved of its stack
        """
        ...


def open_unwinder(memory: Memory, images: Sequence[NativeImage], architecture: Architecture) -> Unwinder:
    """For the threads of a moment: its memory, with the stacks, and its images (images.list_images).

    Nothing is opened before a frame is found to be in it. Lines and inlined functions need drgn, frames do not.
    """
    from lastwords.native.unwinder import StackUnwinder  # noqa: PLC0415 - it is made of what is above

    return StackUnwinder(memory, images, architecture)
