"""SIGKILL to a tool while it looks at a server under load: what becomes of the server.

Half of the kills come when a thread of the server was just seen to stand still for the tool, the others at any instant
of the tool's life. lastwords has a process that holds the threads, the stopper: every other kill is for that.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harm.peers import Tool
from harm.server import Server
from harm.strikes import strike

TOOL_SECONDS = 60.0


@dataclass
class Kills:
    """What became of a server: how often the tool was killed, how often while a thread stood still, and the harm."""

    tool: str
    killed: int = 0
    held: int = 0
    stoppers: int = 0
    died: int = 0
    left_stopped: int = 0
    unanswered: int = 0
    left_tracing: int = 0
    requests: int = 0
    failed: int = 0
    longest_gap: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def is_harmless(self) -> bool:
        """Nothing became of it."""
        return not (self.died or self.left_stopped or self.unanswered or self.left_tracing or self.failed)


HEADINGS = (
    "tool", "kills", "a thread stood still", "its stopper's", "server died", "left stopped", "no answer",
    "left traced", "requests failed", "longest gap, ms",
)  # fmt: skip


def rows(measured: Sequence[Kills]) -> list[list[object]]:
    """A line of the table for each."""
    return [
        [
            one.tool, one.killed, one.held, one.stoppers, one.died, one.left_stopped, one.unanswered, one.left_tracing,
            f"{one.failed} of {one.requests}", f"{one.longest_gap * 1000:.0f}",
        ]
        for one in measured
    ]  # fmt: skip


class Killer:
    """Kills one tool again and again."""

    def __init__(self, tool: Tool, server: Server, scratch: Path, seed: int = 5) -> None:
        self.tool, self.server, self.scratch = tool, server, scratch
        self.chance = random.Random(seed)
        self.kills = Kills(tool.name)
        self.seconds = 0.0

    def run(self, count: int) -> Kills:
        """So many kills; stops early where the server has died."""
        self._time_it()
        self.server.longest_gap()
        self.server.told()
        while self.kills.killed < count and self.server.is_there():
            self.kill_once(when_held=self.kills.held < self.kills.killed // 2 + 1, stopper=self.kills.killed % 2 == 1)
        self._add_told()
        return self.kills

    def _time_it(self) -> None:
        begun = time.monotonic()
        with self.tool.start(self.server.pid, self.scratch / "out"):
            pass
        self.seconds = time.monotonic() - begun

    def kill_once(self, when_held: bool, stopper: bool) -> None:
        """One run of the tool that does not end by itself; none counts where it did before."""
        with self.tool.start(self.server.pid, self.scratch / "out") as process:
            after = None if when_held else self.chance.uniform(0, self.seconds)
            victim = "stopper" if stopper else "tool"
            struck = strike(process, self.server.pid, signal.SIGKILL, victims=victim, after=after)
            try:
                process.wait(TOOL_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                self.kills.failures.append("it did not end when its stopper was killed")
        if struck is not None:
            self.kills.killed += 1
            self.kills.held += struck.held
            self.kills.stoppers += bool(struck.stopper)
            self.look()

    def look(self) -> None:
        """At the server, after a kill; it is helped on where it needs that."""
        stopped = self.server.find_stopped()
        self.kills.left_stopped += bool(stopped)
        self.kills.left_tracing += bool(self.server.find_tracer())
        if stopped:
            self.kills.failures.append(f"left stopped: {stopped}, tracer {self.server.find_tracer(0)}")
            self.server.revive()
        if not self.server.is_there():
            self.kills.died += 1
            self.kills.failures.append(f"died: {self.server.target.describe()[-300:]}")
        elif not self.server.answers():
            self.kills.unanswered += 1

    def _add_told(self) -> None:
        told = self.server.told()
        self.kills.requests = len(told.latencies) + len(told.failures)
        self.kills.failed = len(told.failures)
        self.kills.failures += sorted(set(told.failures))[:3]
        self.kills.longest_gap = self.server.longest_gap()
