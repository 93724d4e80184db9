"""What `run` is asked for, and what it tells of a hang. Loads nothing: it is needed at our start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from lastwords.model import Moment, Report

GRACE_SECONDS = 10.0  # from TERM to KILL, where a program that hangs is ended


class Limits(msgspec.Struct, frozen=True):
    """Seconds: how long the whole run may take, and how long a process may get nowhere on its way out."""

    timeout: float | None = None
    hang_after: float | None = None


class Hang(msgspec.Struct, frozen=True):
    """Which limit was passed, and by which process: with "timeout" by the program as a whole."""

    kind: Literal["timeout", "exit"]
    pid: int
    seconds: float

    @property
    def fact(self) -> str:
        """`process 4711 got nowhere in 5 s on its way out (--hang-after)`."""
        if self.kind == "timeout":
            return f"the program still ran after {self.seconds:g} s (--timeout)"
        return f"process {self.pid} got nowhere in {self.seconds:g} s on its way out (--hang-after)"


class Hung(msgspec.Struct, frozen=True):
    """A hang that was read: its moments, and the report as if the program ended now."""

    hang: Hang
    moments: list[Moment]
    report: Report


OnHang = Callable[[Hung], bool]  # whether the program is to be ended


@dataclass(frozen=True)
class Options:
    """What `run` is asked for: whether to watch `children`, to load the `agent`, how long to `linger` for children.

    limits: when the program hangs; on_hang: is told then, and says whether to end the program
    """

    children: bool = True
    agent: bool = True
    linger: float = 0.0
    limits: Limits = field(default_factory=Limits)
    on_hang: OnHang = lambda _: False
