"""Runs in gdb's Python: prints every thread's frames that are in memory, as other_stacks.py wants them."""

import json

import gdb


def describe(frame):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - gdb's Python may be older than types
    """Frames from this one on; those of tail calls, which are gone, gdb only concludes from DWARF."""
    while frame is not None:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            yield frame.pc(), int(frame.read_register("sp")), frame.name()
        frame = frame.older()


def print_stacks():  # type: ignore[no-untyped-def]  # noqa: ANN201 - as above
    """One line."""
    found = {}
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        found[thread.ptid[1]] = list(describe(gdb.newest_frame()))
    print("stacks: " + json.dumps(found))


print_stacks()
