"""A server under constant load, looked at again and again: failed requests, and how long requests take meanwhile."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harm.peers import Tool
from harm.server import Server, Told

ROUND = 5  # runs of one tool, before it is the next one's turn
TOOL_SECONDS = 120.0
INCOMPLETE = 5  # of lastwords: something could not be read, and it says so


@dataclass
class Looks:
    """Runs of one tool, and what the server's clients saw meanwhile; `longest_gap` in seconds."""

    server: str
    tool: str
    runs: int = 0
    bad_ends: int = 0
    seconds: float = 0.0
    longest_gap: float = 0.0
    told: Told = field(default_factory=Told)

    @property
    def failures(self) -> list[str]:
        """Of requests, each text once."""
        return sorted(set(self.told.failures))

    @property
    def is_harmless(self) -> bool:
        """No request failed."""
        return not self.told.failures


HEADINGS = (
    "server", "tool", "runs", "s each", "requests", "failed", "p50, ms", "p99, ms", "longest, ms", "longest gap, ms",
)  # fmt: skip


def rows(measured: Sequence[Looks]) -> list[list[object]]:
    """A line of the table for each."""
    return [
        [
            one.server, one.tool, one.runs, f"{one.seconds / max(one.runs, 1):.2f}", len(one.told.latencies),
            len(one.told.failures), *(f"{quantile(one.told.latencies, at):.1f}" for at in (0.5, 0.99, 1)),
            f"{one.longest_gap * 1000:.0f}",
        ]
        for one in measured
    ]  # fmt: skip


def quantile(values: Sequence[float], at: float) -> float:
    """The value below which so many of them are; 0 where there are none."""
    return sorted(values)[min(int(len(values) * at), len(values) - 1)] if values else 0.0


def look_in_turn(server: Server, kind: str, tools: Sequence[tuple[Tool, int]], scratch: Path) -> list[Looks]:
    """Each tool as often as it says, in rounds."""
    measured = [Looks(kind, tool.name) for tool, _ in tools]
    while any(one.runs < count for one, (_, count) in zip(measured, tools, strict=True)):
        for one, (tool, count) in zip(measured, tools, strict=True):
            if one.runs < count:
                look(server, one, tool, min(ROUND, count - one.runs), scratch)
    return measured


def look(server: Server, looks: Looks, tool: Tool, count: int, scratch: Path) -> None:
    """So many runs; what came before is not theirs."""
    server.told()
    server.longest_gap()
    for _ in range(count):
        begun = time.monotonic()
        with tool.start(server.pid, scratch / "out") as process:
            try:
                looks.bad_ends += process.wait(TOOL_SECONDS) not in (0, INCOMPLETE)
            except subprocess.TimeoutExpired:
                process.kill()
                looks.bad_ends += 1
        looks.seconds += time.monotonic() - begun
    looks.runs += count
    looks.told.add(server.told())
    looks.longest_gap = max(looks.longest_gap, server.longest_gap())
