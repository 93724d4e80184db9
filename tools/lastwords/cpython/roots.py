"""Where reading begins: the first PyInterpreterState.

`_PyRuntime` (exported from 3.7 on) has it; before, it is a static variable that `PyInterpreterState_Head` returns,
and the thread that runs is in `_PyThreadState_Current`.
"""

from __future__ import annotations

from lastwords.capture import elf
from lastwords.capture.elf import Image
from lastwords.cpython.structs import Structs


def find_head(structs: Structs, image: Image) -> int:
    """The address of the first PyInterpreterState; 0 where there is none (yet, or any more). Raises ReadError."""
    runtime = image.address("_PyRuntime")
    if runtime is not None and structs.has("_PyRuntimeState", "interpreters.head"):
        return structs.number(runtime, "_PyRuntimeState", "interpreters.head")
    static = image.elf.symbols.get("interp_head") or elf.decode_static(image.elf, "PyInterpreterState_Head")
    if static is not None:
        return structs.pointer(static + image.bias)
    current = image.address("_PyThreadState_Current")
    thread = structs.pointer(current) if current is not None else 0
    return structs.number(thread, "PyThreadState", "interp") if thread else 0
