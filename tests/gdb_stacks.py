"""What gdb says of the C stacks of a process: to compare with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from harness import PATIENCE

# Frames that gdb makes up for tail calls lie nowhere, so nothing else can find them.
SCRIPT = """\
import gdb, json
gdb.execute("set backtrace past-main on")
def frames():
    frame, found = gdb.newest_frame(), []
    while frame is not None:
        if frame.type() != gdb.TAILCALL_FRAME:
            found.append([frame.pc(), frame.name(), frame.type() == gdb.INLINE_FRAME])
        frame = frame.older()
    return found
stacks = {}
for thread in gdb.selected_inferior().threads():
    thread.switch()
    stacks[thread.ptid[1]] = frames()
with open(OUTPUT, "w") as file:
    json.dump(stacks, file)
"""

GdbFrame = tuple[int, str | None, bool]  # pc, function, whether it is inlined


def read_gdb_stacks(pid: int, folder: Path) -> dict[int, list[GdbFrame]]:
    """By tid, innermost first."""
    script, output = folder / "stacks.py", folder / "stacks.json"
    script.write_text(SCRIPT.replace("OUTPUT", repr(str(output))))
    command = ["gdb", "-nx", "-batch", "-p", str(pid), "-iex", "set debuginfod enabled off", "-ex", f"source {script}"]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    return {
        int(tid): [(pc, name, inlined) for pc, name, inlined in frames]
        for tid, frames in json.loads(output.read_text()).items()
    }
