"""What gdb says of the C stacks of a process: to compare with; and an extension module whose C frames are known."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from harness import PATIENCE, TARGETS
from interpreters import Interpreter
from lastwords.model import Frame
from lastwords.native.merge import base_name

EXTENSION = TARGETS / "calls_back.c"
LOOPS = ("_PyEval_EvalFrameDefault", "PyEval_EvalFrameEx")

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


def build_extension(interpreter: Interpreter, folder: Path) -> list[str]:
    """The directory of the extension module; nothing where this interpreter has no headers."""
    ask = "import sysconfig; print(sysconfig.get_paths()['include'])"
    include = subprocess.run([interpreter.path, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    if not (Path(include) / "Python.h").exists():
        return []
    built = ["-O1", "-shared", "-fPIC", f"-I{include}", str(EXTENSION), "-o", str(folder / "calls_back.so")]
    subprocess.run(["gcc", *built], check=True)
    return [str(folder)]


def outline(frames: list[Frame]) -> list[int | str]:
    """Addresses of the C frames that are not inlined, "python" where there are Python frames."""
    return _collapse(
        [frame.address or 0 if frame.kind == "native" else "python" for frame in frames if not frame.inlined]
    )


def gdb_outline(frames: list[GdbFrame], ours: list[Frame]) -> list[int | str]:
    """The same of gdb's: the interpreter's loop is where Python frames belong. Parts of it may have no name."""
    loop = find_loop(frames)
    addresses = {frame.address for frame in ours}
    return _collapse(
        [
            "python" if base_name(name) == loop or (name is None and pc not in addresses) else pc
            for pc, name, inlined in frames
            if not inlined
        ]
    )


def find_loop(frames: list[GdbFrame]) -> str:
    """What this interpreter calls its loop."""
    names = {base_name(name) for _, name, _ in frames}
    return next((loop for loop in LOOPS if loop in names), LOOPS[0])


def _collapse(items: list[int | str]) -> list[int | str]:
    return [item for at, item in enumerate(items) if item != "python" or items[at - 1 : at] != ["python"]]
