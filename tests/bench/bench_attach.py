"""What a look at a live process costs: `make bench`. lastwords, py-spy and pystack in turn; nothing is asserted.

    wall time    of the whole command, on processes with 1, 20 and 500 waiting threads
    CPU time     the same, as work: another program on the machine adds less to it
    stood still  the longest time that the target, ticking, stood still meanwhile (no tool: the machine's own doing)
    where        the time of lastwords goes

py-spy and pystack come from the package index, into an environment of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Protocol, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ours import install

from environments import environment_for
from harness import target_running
from interpreters import describe_python


class Named(Protocol):
    """A tool, say."""

    @property
    def name(self) -> str: ...


T = TypeVar("T")
N = TypeVar("N", bound=Named)
THREADS = (1, 20, 500)
RULER = "pystack remote"
PHASES = Path(__file__).with_name("attach_phases.py")


INCOMPLETE = 5  # lastwords' exit code for a report that lacks something


@dataclass(frozen=True)
class Cost:
    """Seconds of one run, by the clock and of processors; whether the report lacks something."""

    wall: float
    cpu: float
    is_incomplete: bool


@dataclass(frozen=True)
class Tool:
    """`command` is what is run, with {pid} and {file} put in."""

    name: str
    command: tuple[str, ...]

    def run(self, pid: int, scratch: Path) -> Cost:
        """Once. Raises RuntimeError where it failed."""
        words = {"pid": pid, "file": scratch / "report.json"}
        command = [word.format(**words) for word in self.command]
        before, begun = _cpu_of_children(), time.monotonic()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        taken = time.monotonic() - begun
        if done.returncode not in (0, INCOMPLETE):
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        return Cost(taken, _cpu_of_children() - before, done.returncode == INCOMPLETE)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


NOTHING = Tool("no tool", ("sleep", "0.2"))


def find_tools() -> list[Tool]:
    """lastwords, and the others, installed if they are not there. Raises EnvironmentFailedError."""
    environment = environment_for(describe_python(Path(sys.executable)), "py-spy", "pystack")
    there = environment.root / "bin"
    lastwords = str(install())
    return [
        Tool("lastwords attach", (lastwords, "attach", "{pid}", "--json", "{file}")),
        Tool("py-spy dump", (str(there / "py-spy"), "dump", "--json", "--pid", "{pid}")),
        Tool("pystack remote", (str(there / "pystack"), "remote", "{pid}")),
    ]


def versions(tools: Sequence[Tool]) -> str:
    """As the tools say them."""
    said = (subprocess.run([one.command[0], "--version"], capture_output=True, text=True, check=True) for one in tools)
    return ", ".join(f"{tool.name}: {one.stdout.splitlines()[0]}" for tool, one in zip(tools, said, strict=True))


def in_turn(tools: Sequence[N], runs: int, measure: Callable[[N], T]) -> dict[str, list[T]]:
    """What `runs` runs of each give, one tool after the other, after one of each that is not counted."""
    taken: dict[str, list[T]] = {tool.name: [] for tool in tools}
    for number in range(runs + 1):
        for tool in tools:
            value = measure(tool)
            if number:
                taken[tool.name].append(value)
    return taken


def costs(python: Path, threads: int, tools: Sequence[Tool], runs: int, scratch: Path) -> dict[str, list[Cost]]:
    """What each tool takes for a target that waits."""
    with target_running(python, "bench_threads.py", str(threads)) as target:
        return in_turn(tools, runs, lambda tool: tool.run(target.pid, scratch))


def pauses(python: Path, threads: int, tools: Sequence[Tool], runs: int, scratch: Path) -> dict[str, list[float]]:
    """The longest time, in seconds, that a ticking target stood still during each run."""
    longest = scratch / "longest"
    longest.write_bytes(bytes(8))
    with target_running(python, "bench_threads.py", str(threads), str(longest)) as target:

        def measure(tool: Tool) -> float:
            with longest.open("r+b") as file:
                file.write(bytes(8))
            tool.run(target.pid, scratch)
            return float(struct.unpack("d", longest.read_bytes())[0])

        return in_turn([*tools, NOTHING], runs, measure)


def phases(python: Path, threads: int, runs: int) -> dict[str, list[float]]:
    """Seconds of each part of `lastwords attach`, each run in a process of its own."""
    taken: dict[str, list[float]] = {}
    with target_running(python, "bench_threads.py", str(threads)) as target:
        for _ in range(runs):
            command = [sys.executable, str(PHASES), str(target.pid), repr(time.monotonic())]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for name, seconds in json.loads(said).items():
                taken.setdefault(name, []).append(seconds)
    return taken


def format_row(name: str, measured: Sequence[dict[str, list[float]]], ruler: str = "") -> str:
    """One line of a table: medians in ms, and how many times that of `ruler`."""
    cells = []
    for one in measured:
        median = statistics.median(one[name])
        ratio = f" ({median / statistics.median(one[ruler]):.2f} x)" if ruler else ""
        cells.append(f"{median * 1000:.1f}{ratio}")
    return f"| {name} | {' | '.join(cells)} |"


def format_table(title: str, measured: Sequence[dict[str, list[float]]], ruler: str = "") -> Iterator[str]:
    """A row for each tool or phase, a column for each number of threads."""
    yield ""
    yield f"| {title}, ms | {' | '.join(f'{number} threads' for number in THREADS)} |"
    yield "|---" * (len(THREADS) + 1) + "|"
    yield from (format_row(name, measured, ruler) for name in measured[0])


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, default=describe_python(Path(sys.executable)).path)
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    python, runs, tools = arguments.python, arguments.runs, find_tools()
    print(f"{python}; medians of {runs} runs in turn; load before: {os.getloadavg()[0]:.1f}\n{versions(tools)}")
    with tempfile.TemporaryDirectory() as scratch:
        taken = [costs(python, number, tools, runs, Path(scratch)) for number in THREADS]
        for title, pick in (("wall time", attrgetter("wall")), ("CPU time", attrgetter("cpu"))):
            measured = [{name: [pick(one) for one in some] for name, some in row.items()} for row in taken]
            print("\n".join(format_table(title, measured, RULER)))
        incomplete = sum(one.is_incomplete for row in taken for some in row.values() for one in some)
        print(f"\n{incomplete} of {runs * len(THREADS)} reports of lastwords were incomplete")
        measured = [pauses(python, number, tools, runs, Path(scratch)) for number in THREADS]
        print("\n".join(format_table("stood still", measured)))
        print("\n".join(format_table("where", [phases(python, number, runs) for number in THREADS])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
