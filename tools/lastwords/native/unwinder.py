"""The C stack of a thread: walked by unwind tables, each address named once."""

from __future__ import annotations

from collections.abc import Sequence

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.memory import Memory, ReadError
from lastwords.native.drgn_lines import Location
from lastwords.native.eh_frame_bytes import CfiError
from lastwords.native.images import NativeImage
from lastwords.native.names import Names, open_names
from lastwords.native.unwind import NativeFrame, NativeStack, Overlay
from lastwords.native.walk import EndError, Step, Walker

NAMELESS = (Location(),)


class StackUnwinder:
    """See Unwinder."""

    def __init__(self, memory: Memory, images: Sequence[NativeImage], architecture: Architecture) -> None:
        self._walker = Walker(memory, images, architecture)
        self._names: dict[NativeImage, Names] = {}

    def unwind(self, registers: Registers, *, stop: int | None = None, overlay: Overlay = ()) -> NativeStack:
        """See Unwinder."""
        steps: list[Step] = []
        error = None
        try:
            for step in self._walker.walk(registers, stop, overlay):
                steps.append(step)
        except (EndError, ReadError, CfiError) as problem:
            error = str(problem)
        return NativeStack([frame for step in steps for frame in self._describe(step)], error)

    def _describe(self, step: Step) -> list[NativeFrame]:
        """The frame, before it those that are inlined into it."""
        place = step.pc if step.is_signal else step.place  # the kernel lets a handler return to a function's beginning
        image = self._walker.images.find(place)
        bias = image.bias if image else None
        if image is None or bias is None:
            return [NativeFrame(step.pc, step.sp, guessed=step.guessed, is_signal=step.is_signal)]
        if image not in self._names:
            self._names[image] = open_names(image)
        locations = self._names[image].find(place - bias) or NAMELESS
        return [
            NativeFrame(
                pc=step.pc,
                sp=step.sp,
                function=one.function,
                file=one.file,
                line=one.line,
                column=one.column,
                library=image.path,
                offset=step.pc - bias,
                inlined=one is not locations[-1],
                guessed=step.guessed,
                is_signal=step.is_signal,
            )
            for one in locations
        ]
