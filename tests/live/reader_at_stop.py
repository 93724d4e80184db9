"""Reads a process that gdb holds, and appends what it read to a file, a line of JSON.

Arguments: the file, the pid, fs_base of the stopped thread, and two addresses that may be objects.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from lastwords import cpython


def read_stop(pid: int, ident: int, *objects: int) -> dict[str, object]:
    """What the tests compare."""
    interp = cpython.open_process(pid)
    tstate = interp.find_thread(ident)
    assert tstate is not None
    return {
        "exception": cpython.read_pending_exception(interp, tstate),
        "stack": cpython.read_stack(interp, tstate).frames,
        "phase": interp.phase(),
        "objects": [cpython.read_value(interp, address).repr for address in objects],
    }


if __name__ == "__main__":
    line = msgspec.json.encode(read_stop(*map(int, sys.argv[2:])))
    with Path(sys.argv[1]).open("ab") as file:
        file.write(line + b"\n")
