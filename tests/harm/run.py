"""`make harm`: what lastwords does to a process that it looks at, measured at length, beside gdb, pystack and py-spy.

python -m harm.run                          everything: hours
python -m harm.run --only kills --quick     one part, a tenth of it
python -m harm.run --only kills --ours      lastwords alone: what the peers did stays as it was measured last

Each part prints its table; all is in .cache/harm/PART.json, with the counts that really ran.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from environments import environment_for, gevent_for
from harm import attaches, calls, freezes, kills, signals, stages
from harm.peers import NO_INTERRUPT, NOTHING, OURS, Tool, find_peers
from harm.server import Server, serving
from interpreters import CHECKOUT, describe_python, find_python

OUTPUT = CHECKOUT / ".cache" / "harm"
KILLS, FREEZES, ATTACHES, PEER_ATTACHES = 200, 200, 1000, 100  # and 100 queued signals for each attach
SERVERS = ("threads", "gevent")  # ATTACHES in all
CALLS_SECONDS, CALLS_LOOKS = 12, 3
QUICK = 10  # how much less

Table = tuple[Sequence[object], Sequence[Sequence[object]]]


class Run:
    """What was asked for, and the way to it."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path) -> None:
        self.arguments, self.scratch = arguments, scratch
        self.python = describe_python(Path(sys.executable))
        self.harmful: list[str] = []

    def count(self, number: int) -> int:
        """So many, or a tenth."""
        number = self.arguments.count or number
        return max(number // QUICK, 2) if self.arguments.quick else number

    @contextmanager
    def serving(self, kind: str = "threads") -> Iterator[Server]:
        """A server under load, in the interpreter that runs lastwords."""
        python = self.python.path
        if kind == "gevent":
            python = environment_for(self.python, *gevent_for(self.python)).python
        with serving(python, kind, self.scratch) as server:
            yield server

    def peers(self) -> list[Tool]:
        """Those to measure beside lastwords."""
        return [] if self.arguments.ours else find_peers()

    def judge(self, name: str, ours: Sequence[Any]) -> None:
        """Whatever of ours was not harmless is said at the end."""
        self.harmful += [f"{name}: {one}" for one in ours if not one.is_harmless]


def measure_kills(run: Run) -> tuple[list[Table], list[Any]]:
    """SIGKILL to every tool."""
    measured = []
    for tool in [*OURS, *run.peers()]:
        with run.serving() as server:
            measured.append(kills.Killer(tool, server, run.scratch).run(run.count(KILLS)))
    run.judge("kills", [one for one in measured if one.tool.startswith("lastwords")])
    return [(kills.HEADINGS, kills.rows(measured))], measured


def measure_freezes(run: Run) -> tuple[list[Table], list[Any]]:
    """SIGSTOP to lastwords."""
    with run.serving() as server:
        measured = [
            freezes.Freezer(tool, server, run.scratch, both).run(max(run.count(FREEZES) // 4, 2))
            for tool in OURS
            for both in (False, True)
        ]
    run.judge("freezes", measured)
    return [(freezes.HEADINGS, freezes.rows(measured))], measured


def measure_attaches(run: Run) -> tuple[list[Table], list[Any]]:
    """Requests while tools look."""
    measured = []
    for kind in SERVERS:
        ours = run.count(ATTACHES) // len(SERVERS)
        peers = min(run.count(PEER_ATTACHES), ours)
        tools = [(tool, ours if tool is OURS[0] else peers) for tool in (NOTHING, *OURS, *run.peers())]
        with run.serving(kind) as server:
            measured += attaches.look_in_turn(server, kind, tools, run.scratch)
    run.judge("attaches", [one for one in measured if one.tool.startswith("lastwords")])
    return [(attaches.HEADINGS, attaches.rows(measured))], measured


def measure_calls(run: Run) -> tuple[list[Table], list[Any]]:
    """System calls, in C and in Python, of this interpreter and of 2.7."""
    tables: list[Table] = []
    everything: list[Any] = []
    for python in filter(None, (run.python, find_python("2.7"))):
        alone = calls.find_left_alone(python.path, run.scratch, CALLS_SECONDS // 2)
        tools = [None, OURS[0], NO_INTERRUPT, *run.peers()]
        measured = [
            calls.see(python.path, python.name, tool, run.scratch, CALLS_SECONDS, CALLS_LOOKS) for tool in tools
        ]
        headings = [python.name, "lastwords", *(f"{one.tool} ({one.looks})" for one in measured)]
        rest = [", ".join(calls.undisturbed(measured, alone)), *[""] * (len(headings) - 1)]
        tables.append((headings, [*calls.rows(measured, alone), rest]))
        run.judge("calls", [one for one in measured if one.tool.startswith("lastwords")])
        everything += measured
    return tables, everything


def measure_signals(run: Run) -> tuple[list[Table], list[Any]]:
    """Signals of three kinds."""
    count = run.count(ATTACHES)
    measured = [
        signals.send_while_looked_at(run.python.path, OURS[0], count, count * 100, run.scratch),
        *(
            signals.send_while_looked_at(run.python.path, tool, max(count // 20, 1), max(count * 5, 100), run.scratch)
            for tool in run.peers()
        ),
    ]
    run.judge("signals", measured[:1])
    return [(signals.HEADINGS, signals.rows(measured))], measured


def measure_stages(run: Run) -> tuple[list[Table], list[Any]]:
    """Ends of lastwords."""
    with run.serving() as server:
        measured = list(stages.end_everywhere(server, run.scratch))
    run.judge("stages", measured)
    return [(stages.HEADINGS, stages.rows(measured))], measured


PARTS: dict[str, Callable[[Run], tuple[list[Table], list[Any]]]] = {
    "kills": measure_kills, "freezes": measure_freezes, "attaches": measure_attaches, "calls": measure_calls,
    "signals": measure_signals, "stages": measure_stages,
}  # fmt: skip


def format_table(table: Table) -> Iterator[str]:
    """As Markdown has it."""
    headings, lines = table
    yield ""
    yield f"| {' | '.join(map(str, headings))} |"
    yield "|---" * len(headings) + "|"
    yield from (f"| {' | '.join(map(str, line))} |" for line in lines)


def plain(one: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the parts' results
    """As JSON has it, without thousands of latencies."""
    found = asdict(one)
    if "told" in found and "latencies" in found["told"]:
        found["told"]["latencies"] = len(found["told"]["latencies"])
    return found


def with_peers(tables: Sequence[Table], before: Sequence[Table]) -> list[Table]:
    """The tables of lastwords alone, with the lines that their peers had `before`."""
    known = {tuple(headings): lines for headings, lines in before}
    return [(headings, [*lines, *filter(is_of_peer, known.get(tuple(headings), []))]) for headings, lines in tables]


def is_of_peer(line: Sequence[object]) -> bool:
    """Whether a line of a table is about another tool."""
    return not any(str(word).startswith(("lastwords", NOTHING.name)) for word in line)


def main() -> int:
    """Measure, print, keep. 1 where lastwords did harm."""
    parser = argparse.ArgumentParser(prog="make harm", description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--quick", action="store_true", help=f"1/{QUICK} of everything")
    parser.add_argument("--count", type=int, help="instead of each part's own count")
    parser.add_argument("--ours", action="store_true", help="lastwords alone, beside what its peers did before")
    arguments = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(arguments, Path(scratch))
        for name in arguments.only or PARTS:
            begun, load = time.monotonic(), os.getloadavg()[0]
            tables, measured = PARTS[name](run)
            print(f"\n{name}: {time.monotonic() - begun:.0f} s, load before {load:.1f}")
            print("\n".join(line for table in tables for line in format_table(table)), flush=True)
            kept = OUTPUT / f"{name}.json"
            if arguments.ours and kept.exists():
                tables = with_peers(tables, json.loads(kept.read_text())["tables"])
            found = {"tables": tables, "measured": [plain(one) for one in measured], "load": load}
            kept.write_text(json.dumps(found, indent=1))
    print("\n" + ("\n".join(run.harmful) if run.harmful else "lastwords did no harm"))
    return 1 if run.harmful else 0


if __name__ == "__main__":
    sys.exit(main())
