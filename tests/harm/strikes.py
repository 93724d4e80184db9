"""A signal to a tool, and to the process that holds threads for it, at the instant that hurts most, or at any."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harm.server import is_held

STOPPER = b"stopper.py"
LOOKS = 20


@dataclass(frozen=True)
class Strike:
    """`held`: a thread of the target was seen to stand still for a tracer just before; `stopper`: struck too, or 0."""

    held: bool
    stopper: int


def strike(
    process: subprocess.Popen[bytes], pid: int, number: int, *, victims: str, after: float | None = None
) -> Strike | None:
    """Sends signal `number` to the `victims`: "tool", "stopper" (the tool where it has none) or "both".

    As soon as a thread of process `pid` stands still; or `after` so many seconds. None where the tool had ended then.
    """
    begun = time.monotonic()
    stopper = 0
    while process.poll() is None:
        stopper = stopper or (find_stopper(process.pid) if victims != "tool" else 0)
        looks = LOOKS if stopper or victims == "tool" else 1  # it is there a while before it holds anybody
        held = is_held(pid) or (after is None and any(is_held(pid) for _ in range(looks)))
        if held if after is None else time.monotonic() > begun + after:
            pids = {"tool": [process.pid], "stopper": [stopper or process.pid], "both": [process.pid, stopper]}
            for victim in filter(None, pids[victims]):
                with suppress(ProcessLookupError):
                    os.kill(victim, number)
            return Strike(held, stopper)
    return None


def find_stopper(parent: int) -> int:
    """The process that holds threads still for lastwords; 0 where there is none (yet)."""
    with suppress(OSError):
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            if is_stopper(int(child)):
                return int(child)
    return 0


def is_stopper(pid: int) -> bool:
    """Whether this process holds threads still, or will."""
    return STOPPER in Path(f"/proc/{pid}/cmdline").read_bytes()


def end_stopper(struck: Strike | None) -> None:
    """One that was frozen before it had anything to let go would stay so."""
    with suppress(OSError):
        if struck is not None and struck.stopper and is_stopper(struck.stopper):
            os.kill(struck.stopper, signal.SIGKILL)
