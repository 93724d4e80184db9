"""System calls that wait, while a tool looks: what C and Python see of it, and which lastwords leaves alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harm.built import build_library
from harm.peers import Tool
from harm.server import states
from harness import Target, target_running, wait_until
from stopping import capture, look_nowhere

EARLY, LATE = 0.1, 2.0  # seconds that a wait may be too short, or too long, on a machine under load
ALONE = "left alone"


@dataclass
class Seen:
    """By call: what it said, "ok" where it came as it should; of one tool."""

    python: str
    tool: str
    looks: int
    outcomes: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def disturbed(self) -> dict[str, str]:
        """Those that saw something."""
        return {call: outcome for call, outcome in self.outcomes.items() if outcome != "ok"}

    @property
    def is_harmless(self) -> bool:
        """Nobody saw anything."""
        return bool(self.outcomes) and not self.disturbed


def see(python: Path, name: str, tool: Tool | None, scratch: Path, seconds: int, looks: int) -> Seen:
    """What all calls saw of so many looks, as far as there is time for these (and of none, without a tool)."""
    library = build_library("harm_calls", scratch)
    with target_running(python, "harm_calls.py", str(library), str(seconds)) as target:
        wait_for_calls(target)
        seen = Seen(name, tool.name if tool else "no tool", 0)
        begun, last = time.monotonic(), 0.0
        while tool and seen.looks < looks and time.monotonic() + last < begun + seconds - 1:
            started = time.monotonic()
            with tool.start(target.pid, scratch / "out") as process:
                process.wait()
            last = time.monotonic() - started
            seen.looks += 1
        target.wait_for("over", timeout=seconds + 60)
        seen.outcomes = dict(read_outcome(line, seconds) for line in target.stdout.text.splitlines() if "call " in line)
        return seen


def wait_for_calls(target: Target) -> None:
    """Until all threads wait."""
    threads = int(target.wait_for("ready").split()[1])

    def all_wait() -> bool:
        found = states(target.pid)
        return len(found) > threads and all(state == "S" for _, state in found)

    wait_until(all_wait, "all threads wait")


def read_outcome(line: str, seconds: int) -> tuple[str, str]:
    """The call of a line "call NAME OUTCOME MILLISECONDS", and its outcome."""
    name, outcome, taken = line.removeprefix("call ").rsplit(" ", 2)
    if outcome == "ok" and not seconds - EARLY < int(taken) / 1000 < seconds + LATE:
        outcome = f"after {int(taken) / 1000:.1f} s"
    return name, outcome


def find_left_alone(python: Path, scratch: Path, seconds: int) -> set[str]:
    """The calls in which lastwords does not interrupt a thread."""
    library = build_library("harm_calls", scratch)
    with target_running(python, "harm_calls.py", str(library), str(seconds)) as target:
        wait_for_calls(target)
        return {one.name or "" for one in capture(target.pid, look_nowhere).threads if not one.registers}


def rows(measured: Sequence[Seen], alone: set[str]) -> list[list[object]]:
    """A line for each call that somebody disturbed or lastwords leaves alone, a column for each tool."""
    calls = [call for one in measured[:1] for call in one.outcomes]
    shown = [call for call in calls if call[:15] in alone or any(call in one.disturbed for one in measured)]
    return [
        [call, ALONE if call[:15] in alone else "", *(one.disturbed.get(call, "") for one in measured)]
        for call in shown
    ]  # fmt: skip


def undisturbed(measured: Sequence[Seen], alone: set[str]) -> list[str]:
    """The calls that are in no line of the table."""
    shown = {row[0] for row in rows(measured, alone)}
    return [call for one in measured[:1] for call in one.outcomes if call not in shown]
