"""How long a process stands still for a look at it, and what a look costs: `make bench`. Nothing is asserted.

    pause     the longest gap between two ticks of a thread of the target, with 20 and 500 threads in C, Python and
              waits; and against the size of its heap
    wall      of the whole command; peak: its own memory
    size      of a snapshot, beside gcore's of the same process

lastwords, py-spy, pystack and gdb in turn; what came of it is in .cache/bench/pause.json, from which
`make performance` makes the tables of docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench_attach import in_turn
from ours import install

from harm.peers import NOTHING, OURS, Tool, find_peers, versions
from harness import Target, target_running, wait_until
from interpreters import CHECKOUT, describe_python

OUTPUT = CHECKOUT / ".cache" / "bench" / "pause.json"
THREADS = (20, 500)
HEAPS = (50, 500, 4000)  # MB
SIZED = 500  # the heap of which sizes are told
SPARE = 2.5  # a heap is measured only where so many times its size is free
GOALS = {
    "pause, 20 threads": "5 ms, 0.15 x py-spy dump --native", "pause, 500 threads": "0.3 x py-spy dump --native",
    "pause against heap": "flat", "wall, 20 threads": "1.0 x pystack remote --native, 0.4 s",
    "snapshot": "1/100 of gcore's at 500 MB", "peak": "150 MB",
}  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Of one run: ms that the target stood still at most, seconds by the clock, MB at most; the size it wrote."""

    pause: float
    wall: float
    peak: float
    size: int = 0


class Standing:
    """A target that ticks, and its longest gap."""

    def __init__(self, target: Target, longest: Path) -> None:
        self.target, self.longest = target, longest

    def _read(self) -> tuple[float, int]:
        gap, ticks = struct.unpack("dq", self.longest.read_bytes())
        return gap, ticks

    def _clear(self) -> None:
        with self.longest.open("r+b") as file:
            file.write(bytes(16))

    def measure(self, tool: Tool, scratch: Path) -> Cost:
        """One run of the tool. Raises RuntimeError where it failed."""
        self._clear()
        wait_until(lambda: self._read()[1] > 2, "it ticks")
        self._clear()
        file = scratch / "out"
        begun = time.monotonic()
        process = tool.start(self.target.pid, file)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 5):
            raise RuntimeError(f"{tool.name} ended with {process.returncode}")
        ticks = self._read()[1]
        wait_until(lambda: self._read()[1] > ticks + 1, "it ticks")
        size = file.stat().st_size if file.exists() else 0
        file.unlink(missing_ok=True)
        return Cost(self._read()[0] * 1000, wall, used.ru_maxrss / 1024, size)


@contextmanager
def standing(python: Path, threads: int, heap: int, scratch: Path) -> Iterator[Standing]:
    """A target with so many threads, and MB."""
    longest = scratch / "longest"
    longest.write_bytes(bytes(16))
    with target_running(python, "bench_pause.py", str(threads), str(heap), str(longest), ready="") as target:
        target.wait_for("ready", timeout=300)
        yield Standing(target, longest)


@cache
def ours() -> list[Tool]:
    """lastwords as pip installs it."""
    command = str(install())
    return [Tool(tool.name, (command, *tool.command[1:])) for tool in OURS]


def at_first() -> Tool:
    """What the first look at a program costs: nothing that DWARF told is kept."""
    attach = ours()[0]
    return Tool(f"{attach.name}, LASTWORDS_CACHE=off", ("env", "LASTWORDS_CACHE=off", *attach.command))


def measure_tools(python: Path, threads: int, runs: int, scratch: Path) -> dict[str, list[Cost]]:
    """Every tool, for a small heap."""
    tools = [ours()[0], at_first(), *ours()[1:], *find_peers(), NOTHING]
    with standing(python, threads, 10, scratch) as target:
        return in_turn(tools, runs, lambda tool: target.measure(tool, scratch))


def measure_heap(python: Path, heap: int, runs: int, scratch: Path) -> dict[str, list[Cost]]:
    """Ours, and py-spy's; at one size gcore's core too. Empty where the machine has too little memory."""
    if free_megabytes() < heap * SPARE:
        return {}
    tools = [*ours(), *(one for one in find_peers() if one.name == "py-spy dump --native")]
    with standing(python, 20, heap, scratch) as target:
        found = in_turn(tools, runs, lambda tool: target.measure(tool, scratch))
        if heap == SIZED and shutil.which("gcore"):
            found["gcore"] = [dump_core(target.target.pid, scratch)]
        return found


def dump_core(pid: int, scratch: Path) -> Cost:
    """gcore's of the same process."""
    begun = time.monotonic()
    subprocess.run(["gcore", "-o", str(scratch / "core"), str(pid)], capture_output=True, check=True)
    path = scratch / f"core.{pid}"
    size = path.stat().st_blocks * 512  # what it takes: it has holes
    path.unlink()
    return Cost(0.0, time.monotonic() - begun, 0.0, size)


def free_megabytes() -> int:
    """MB that a new process may have."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable"))


def measure(runs: int, python: Path, heaps: Sequence[int]) -> dict[str, Any]:
    """All of it, as JSON has it."""
    document: dict[str, Any] = {
        "runs": runs, "load": [os.getloadavg()[0]], "processors": os.cpu_count(), "kernel": platform.release(),
        "python": platform.python_version(), "versions": versions([*ours(), *find_peers()]), "threads": {}, "heaps": {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for threads in THREADS:
            document["threads"][threads] = _plain(measure_tools(python, threads, runs, scratch))
        for heap in heaps:
            document["heaps"][heap] = _plain(measure_heap(python, heap, runs, scratch))
    document["load"].append(os.getloadavg()[0])
    return document


def _plain(found: dict[str, list[Cost]]) -> dict[str, list[dict[str, float]]]:
    return {name: [vars(one) for one in costs] for name, costs in found.items()}


def format_document(document: dict[str, Any]) -> Iterator[str]:
    """The tables, as Markdown has them; medians and, in parentheses, maxima."""
    before, after = document["load"]
    yield (
        f"CPython {document['python']}, Linux {document['kernel']}, {document['processors']} processors; load average"
        f" {before:.1f} before and {after:.1f} after; {document['runs']} runs in turn: median (maximum)."
    )
    yield f"With {', '.join(document['versions'])}."
    yield from _format("tool", document["threads"], "{} threads", document["threads"], ("pause", "wall", "peak"))
    yield from _format("tool", document["heaps"], "heap of {} MB", document["heaps"], ("pause", "peak"))
    yield from _format_sizes(document["heaps"])
    yield ""
    yield "| goal | |"
    yield "|---|---|"
    yield from (f"| {name} | {goal} |" for name, goal in GOALS.items())


UNITS = {"pause": "pause, ms", "wall": "wall, s", "peak": "peak, MB"}
DIGITS = {"pause": 1, "wall": 2, "peak": 0}


def _format(first: str, found: dict[str, Any], of: str, columns: Sequence[str], costs: Sequence[str]) -> Iterator[str]:
    columns = [one for one in columns if found[one]]
    names = dict.fromkeys(name for column in columns for name in found[column] if name != "gcore")
    yield ""
    headings = [f"{of.format(column)}: {UNITS[cost]}" for column in columns for cost in costs]
    yield f"| {first} | {' | '.join(headings)} |"
    yield "|---" * (1 + len(headings)) + "|"
    for name in names:
        cells = [_cell(found[column].get(name, []), cost) for column in columns for cost in costs]
        yield f"| {name} | {' | '.join(cells)} |"


def _cell(costs: Sequence[dict[str, float]], cost: str) -> str:
    values = [one[cost] for one in costs]
    digits = DIGITS[cost]
    return f"{statistics.median(values):.{digits}f} ({max(values):.{digits}f})" if values else "-"


def _format_sizes(heaps: dict[str, Any]) -> Iterator[str]:
    found = heaps.get(str(SIZED)) or {}
    snapshots = found.get("lastwords snapshot")
    if snapshots and found.get("gcore"):
        size, core = statistics.median(one["size"] for one in snapshots), found["gcore"][0]["size"]
        yield ""
        yield f"A snapshot at {SIZED} MB: {size / 1e6:.2f} MB; gcore's core: {core / 1e6:.0f} MB, {core / size:.0f} x."


def main() -> int:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, default=describe_python(Path(sys.executable)).path)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--heaps", default=",".join(map(str, HEAPS)), help="MB, with commas between them")
    arguments = parser.parse_args()
    document = measure(arguments.runs, arguments.python, [int(one) for one in arguments.heaps.split(",") if one])
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(document, indent=1))
    print("\n".join(format_document(json.loads(OUTPUT.read_text()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
