"""Runs in gdb's Python: prints every thread's frames that are in memory, as other_stacks.py wants them."""

import json
from collections.abc import Iterator

import gdb


def describe(frame: "gdb.Frame | None") -> "Iterator[tuple[int, int, str | None]]":
    """Frames from this one on; those of tail calls, which are gone, gdb only concludes from DWARF."""
    while frame is not None:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            yield frame.pc(), int(frame.read_register("sp")), frame.name()
        frame = frame.older()


def print_stacks() -> None:
    """One line."""
    found = {}
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        found[thread.ptid[1]] = list(describe(gdb.newest_frame()))
    print("stacks: " + json.dumps(found))


print_stacks()
