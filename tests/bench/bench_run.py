"""What `lastwords run` costs a program: `make bench`. Bare and watched in turn, in one run; nothing is asserted.

Each workload tells its own seconds (or is timed as a whole process: the first row), so that the start is counted once.
Prints a table: medians, and the extra cost per unit or the ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TIMED = """
import os, subprocess, sys, time
begun = time.time()
{body}
sys.stdout.write(repr(time.time() - begun))
"""
FORKS = """
for _ in range(20):
    pid = os.fork()
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0)
"""
SWALLOWED = """
class Failing(object):
    def __del__(self): raise ValueError("again")
for _ in range({count}): Failing()
"""
COMPUTE = """
def work(n): return sum(i * i % 7 for i in range(n))
for _ in range(20): work(200000)
"""


@dataclass(frozen=True)
class Workload:
    """`units` things are done; None: the whole process is timed, and `body` is all that it runs."""

    name: str
    body: str
    units: int | None
    goal: str


WORKLOADS = (
    Workload("start-up of the whole process", "", None, "0.6 s more"),
    Workload("steady state (computing)", COMPUTE, 0, "1.02 x"),
    Workload("a forked child", FORKS, 20, "50 ms more"),
    Workload("a sub-process: /bin/true", "for _ in range(20): subprocess.call(['/bin/true'])", 20, "50 ms more"),
    Workload(
        "a sub-process: Python", "for _ in range(10): subprocess.call([sys.executable, '-c', ''])", 10, "50 ms more"
    ),
    Workload("a swallowed exception, the first of its place", SWALLOWED.format(count=1), 1, "5 ms more"),
    Workload("a swallowed exception, again", SWALLOWED.format(count=1000), 1000, "5 ms more"),
)


def measure(python: str, workload: Workload, watched: bool, scratch: Path) -> float:
    """Seconds of one run."""
    program = [python, "-c", TIMED.format(body=workload.body) if workload.units is not None else workload.body]
    if watched:
        report = scratch / "report.json"
        program = [sys.executable, "-m", "lastwords", "run", "--quiet", "--json", str(report), "--", *program]
    begun = time.monotonic()
    output = subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=300, check=True).stdout
    return float(output) if workload.units is not None else time.monotonic() - begun


def compare(python: str, workload: Workload, runs: int, scratch: Path) -> tuple[list[float], list[float]]:
    """(bare, watched) seconds of `runs` runs each, in turn, after one of each that is not counted."""
    bare: list[float] = []
    watched: list[float] = []
    for number in range(runs + 1):
        pair = [measure(python, workload, is_watched, scratch) for is_watched in (False, True)]
        if number:
            bare.append(pair[0])
            watched.append(pair[1])
    return bare, watched


def format_row(workload: Workload, bare: Sequence[float], watched: Sequence[float]) -> str:
    """One line of the table."""
    low, high = statistics.median(bare), statistics.median(watched)
    if workload.units is None:
        cost = f"{high - low:.2f} s more"
    elif workload.units == 0:
        cost = f"{high / low:.3f} x"
    else:
        cost = f"{(high - low) / workload.units * 1000:.2f} ms more"
    return f"| {workload.name} | {low:.3f} | {high:.3f} | {max(watched):.3f} | {cost} | {workload.goal} |"


def format_table(rows: Iterable[str], python: str, runs: int) -> Iterator[str]:
    """The whole table, in Markdown."""
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True)
    load = os.getloadavg()[0]
    name = (version.stdout or version.stderr).strip()
    yield f"{name}, medians of {runs} runs in turn, seconds; load before: {load:.1f}"
    yield ""
    yield "| | bare | watched | watched, worst | cost | goal |"
    yield "|---|---|---|---|---|---|"
    yield from rows


def main(print_line: Callable[[str], None] = print) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the programs")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = (
            format_row(workload, *compare(arguments.python, workload, arguments.runs, Path(scratch)))
            for workload in WORKLOADS
        )
        for line in format_table(rows, arguments.python, arguments.runs):
            print_line(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
