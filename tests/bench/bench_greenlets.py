"""What a look at thousands of greenlets costs: `make bench`. Each waits nine Python frames deep; nothing is asserted.

    wall, CPU       of the whole command (the text report), seconds
    stood still     the longest time between two ticks of a thread of the target meanwhile, ms (and without a tool);
                    it begins to tick after the above: a thread that runs is looked at for up to 250 ms more
    stopped, copied what lastwords itself says of its stop
    format_run_info the target formats its greenlets itself, by gevent; it does nothing else meanwhile

py-spy shows the one stack that runs. Targets are as in bench_attach.py, whose tools these are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench_attach import NOTHING, Cost, Tool, find_tools

from environments import environment_for, gevent_for
from harness import TARGETS, Target, running
from interpreters import describe_python

COUNTS = (500, 10_000, 100_000)
GOALS = {500: "8 ms, 0.5 s", 10_000: "50 ms, 2 s", 100_000: "500 ms, 15 s"}
HEAP = (1_000, 2_048)  # greenlets, MB: one row more
SECONDS = 300.0  # for a target to begin, or to format its greenlets


@dataclass(frozen=True)
class Row:
    """Medians of one target, in seconds and MB. `idle`: how long it stood still with no tool."""

    name: str
    attach: Cost
    still: float
    idle: float
    stopped: float
    copied: float
    spy: Cost
    inside: float
    is_complete: bool


def measure(count: int, megabytes: int, runs: int, scratch: Path) -> Row:
    """All figures of one target. Raises EnvironmentFailedError."""
    interpreter = describe_python(Path(sys.executable))
    python = environment_for(interpreter, *gevent_for(interpreter), "hunter").python
    lastwords, spy = find_tools()[:2]
    text = Tool("text", lastwords.command[:3])
    longest = scratch / "longest"
    longest.write_bytes(bytes(8))
    command: list[str | Path] = [python, TARGETS / "bench_greenlets.py", str(count), longest, str(megabytes)]
    with running(command) as target:
        target.wait_for("ready", SECONDS)
        attached = [text.run(target.pid, scratch) for _ in range(runs)]
        target.send_line("tick")
        target.wait_for("ticking")
        still = [_stood_still(longest, lambda: text.run(target.pid, scratch)) for _ in range(runs)]
        idle = [_stood_still(longest, lambda: NOTHING.run(target.pid, scratch)) for _ in range(runs)]
        lastwords.run(target.pid, scratch)
        report = json.loads((scratch / "report.json").read_bytes())
        spied = [spy.run(target.pid, scratch) for _ in range(runs)]
        inside = _format_inside(target)
    capture = report["moments"][0]["capture"]
    return Row(
        name=f"{count:,}" + (f", heap of {megabytes:,} MB" if megabytes else ""),
        attach=_median(attached),
        still=statistics.median(still),
        idle=statistics.median(idle),
        stopped=(capture["pause_ms"] or 0) / 1000,
        copied=capture["bytes"] / 1e6,
        spy=_median(spied),
        inside=inside,
        is_complete=len(report["greenlets"]) >= count and not any(cost.is_incomplete for cost in attached),
    )


def _stood_still(longest: Path, run: Callable[[], Cost]) -> float:
    """The longest time between two ticks of the target while something runs, in seconds."""
    with longest.open("r+b") as file:
        file.write(bytes(8))
    run()
    return float(struct.unpack("d", longest.read_bytes())[0])


def _median(costs: list[Cost]) -> Cost:
    wall, cpu = (statistics.median(values) for values in zip(*((one.wall, one.cpu) for one in costs), strict=True))
    return Cost(wall, cpu, any(one.is_incomplete for one in costs))


def _format_inside(target: Target) -> float:
    """Seconds that gevent's own dump takes in the target."""
    target.send_line("dump")
    return float(target.wait_for("dumped", SECONDS).split()[1])


def format_table(rows: Iterator[Row]) -> Iterator[str]:
    """One line of Markdown for each target, as soon as it was measured."""
    yield "| greenlets | wall | CPU | stood still (no tool) | stopped | copied | py-spy dump | format_run_info | |"
    yield "|---" * 9 + "|"
    for row in rows:
        cells = [
            row.name,
            f"{row.attach.wall:.2f} s",
            f"{row.attach.cpu:.2f} s",
            f"{row.still * 1000:.1f} ms ({row.idle * 1000:.1f})",
            f"{row.stopped * 1000:.1f} ms",
            f"{row.copied:.0f} MB",
            f"{row.spy.wall:.2f} s",
            f"{row.inside:.2f} s",
            "all read" if row.is_complete else "incomplete",
        ]
        yield f"| {' | '.join(cells)} |"


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--heap", action="store_true", help=f"also {HEAP[0]:,} greenlets in a heap of {HEAP[1]:,} MB")
    arguments = parser.parse_args()
    goals = "; ".join(f"{count:,}: {goal}" for count, goal in GOALS.items())
    print(f"medians of {arguments.runs} runs; load before: {os.getloadavg()[0]:.1f}; goals of stop and wall: {goals}\n")
    sizes = [(count, 0) for count in arguments.counts] + ([HEAP] if arguments.heap else [])
    with tempfile.TemporaryDirectory() as scratch:
        rows = (measure(count, megabytes, arguments.runs, Path(scratch)) for count, megabytes in sizes)
        for line in format_table(rows):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
