"""The C stack of a thread: walked by unwind tables, each address named once."""

from __future__ import annotations

from collections.abc import Sequence

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.memory import Memory, ReadError
from lastwords.native.drgn_lines import Location
from lastwords.native.eh_frame_bytes import CfiError
from lastwords.native.images import Images, NativeImage
from lastwords.native.names import Names, open_names
from lastwords.native.unwind import NativeFrame, NativeStack, Overlay
from lastwords.native.walk import EndError, Step, Walker

NAMELESS = (Location(),)


class StackUnwinder:
    """See Unwinder."""

    def __init__(self, memory: Memory, images: Sequence[NativeImage], architecture: Architecture) -> None:
        self._images = Images(images)
        self._walker = Walker(memory, self._images, architecture, self._find_start)
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
        image = self._images.find(place)
        bias = image.bias if image else None
        if image is None or bias is None:
            return [NativeFrame(step.pc, step.sp, guessed=step.guessed, is_signal=step.is_signal)]
        locations = self._names_of(image).find(place - bias) or NAMELESS
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

    def _names_of(self, image: NativeImage) -> Names:
        if image not in self._names:
            self._names[image] = open_names(image)
        return self._names[image]

    def _find_start(self, address: int) -> int | None:
        """Where the function begins that covers `address`, by the symbols."""
        image = self._images.find(address)
        if image is None or image.bias is None:
            return None
        start = self._names_of(image).find_start(address - image.bias)
        return None if start is None else start + image.bias
