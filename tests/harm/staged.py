"""lastwords, harmed at a stage of its own: `staged.py STAGE HARM ARGUMENT...`, the arguments being the command line's.

HARM is the number of a signal that it sends itself, or `memory` (no more is to be had than it has then), as numbers
of MB: `memory:8` leaves so many.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

STAGES = {
    "finding Python": "lastwords.examine.process:Attached._search",
    "dry run": "lastwords.examine.process:Attached._dry_run",
    "held": "lastwords.capture.stop.live:_copy",
    "reading the copy": "lastwords.examine.process:Attached._source",
    "C stacks": "lastwords.examine.process:open_stacks",
    "report": "lastwords.cli.reports:diagnose",
    "writing": "lastwords.report.json_report:encode",
    "writing a snapshot": "lastwords.capture.snapshot.write:write_snapshot",
}


def harm_at(stage: str, harm: str) -> None:
    """From now on the stage's function is harmed when it is called, the first time."""
    module, _, path = STAGES[stage].partition(":")
    owner: Any = import_module(module)
    *outer, name = path.split(".")
    for one in outer:
        owner = getattr(owner, one)
    original: Callable[..., object] = getattr(owner, name)

    def harmed(*args: object, **more: object) -> object:
        setattr(owner, name, original)
        inflict(harm)
        return original(*args, **more)

    setattr(owner, name, harmed)


def inflict(harm: str) -> None:
    """See above."""
    if harm.startswith("memory:"):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + (int(harm.partition(":")[2]) << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    else:
        os.kill(os.getpid(), int(harm))


def main() -> int:
    """See above."""
    harm_at(sys.argv[1], sys.argv[2])
    from lastwords.cli import main as lastwords  # noqa: PLC0415 - as `python -m lastwords` does, afterwards

    return lastwords(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
