"""A tool that does harm, for the checks to see: `interrupts.py PID [careless]`.

It interrupts every thread, whatever it does; `careless`: and forgets the signal that was on its way to it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from lastwords.capture.stop import stopper


class Careless(stopper.Stop):
    """Interrupts everybody."""

    def _may_interrupt(self, line: bytes) -> bool:
        return bool(line)


def main() -> None:
    """See above."""
    pid = int(sys.argv[1])
    if len(sys.argv) > 2:
        stopper.pending_signal = lambda status: 0
    for _ in range(20 if len(sys.argv) > 2 else 1):
        stop = Careless(pid, frozenset(), frozenset())
        stop.hold()
        stop.release()
    os._exit(0)


if __name__ == "__main__":
    main()
