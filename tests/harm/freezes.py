"""SIGSTOP to lastwords, or to it and its stopper, while it looks at a server: how long the server stands still.

The time is the server's own: the longest gap between two ticks of a thread in it. Half of the stops come when a thread
was just seen to stand still, the others at any instant.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harm.peers import Tool
from harm.server import Server
from harm.strikes import end_stopper, strike

HANGS_SECONDS = 10.0  # far above what is allowed: it is said then, and ended
ALLOWED_SECONDS = 2.0


@dataclass
class Freezes:
    """How often a tool was stopped by SIGSTOP, how often while a thread stood still, and the gaps of the server."""

    tool: str
    victim: str
    frozen: int = 0
    held: int = 0
    gaps: list[float] = field(default_factory=list)
    left_stopped: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def is_harmless(self) -> bool:
        """It ran again in time, each time."""
        return not self.left_stopped and max(self.gaps, default=0) < ALLOWED_SECONDS


HEADINGS = ("tool", "stopped by SIGSTOP", "times", "a thread stood still", "longest gap, s", "median, s", "for good")


def rows(measured: Sequence[Freezes]) -> list[list[object]]:
    """A line of the table for each."""
    return [
        [
            one.tool, one.victim, one.frozen, one.held, f"{max(one.gaps, default=0):.3f}",
            f"{sorted(one.gaps)[len(one.gaps) // 2]:.3f}" if one.gaps else "-", one.left_stopped,
        ]
        for one in measured
    ]  # fmt: skip


class Freezer:
    """Freezes one tool again and again; `both`: its stopper, too."""

    def __init__(self, tool: Tool, server: Server, scratch: Path, both: bool, seed: int = 6) -> None:
        self.tool, self.server, self.scratch, self.both = tool, server, scratch, both
        self.chance = random.Random(seed)
        self.freezes = Freezes(tool.name, "it and its stopper" if both else "it")
        self.seconds = 1.0

    def run(self, count: int) -> Freezes:
        """So many."""
        begun = time.monotonic()
        with self.tool.start(self.server.pid, self.scratch / "out"):
            pass
        self.seconds = time.monotonic() - begun
        while self.freezes.frozen < count:
            self.freeze_once(when_held=self.freezes.frozen % 2 == 0)
        return self.freezes

    def freeze_once(self, when_held: bool) -> None:
        """One run of the tool that does not end by itself; none counts where it did before."""
        pid = self.server.pid
        self.server.longest_gap()
        with self.tool.start(pid, self.scratch / "out") as process:
            after = None if when_held else self.chance.uniform(0, self.seconds)
            struck = strike(process, pid, signal.SIGSTOP, victims="both" if self.both else "tool", after=after)
            stopped = self.server.find_stopped(HANGS_SECONDS)
            process.kill()
        end_stopper(struck)
        if stopped:
            self.freezes.failures.append(f"still stopped after {HANGS_SECONDS:g} s: {stopped}")
            self.server.revive()
        if struck is not None:
            self.freezes.frozen += 1
            self.freezes.held += struck.held
            self.freezes.left_stopped += bool(stopped)
            self.freezes.gaps.append(self.server.longest_gap())
