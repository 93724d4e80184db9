"""The parts of one `lastwords attach`, in seconds, as JSON: attach_phases.py PID WHEN_IT_WAS_STARTED (monotonic).

A process of its own for each: nothing is warm but the files.
"""

from __future__ import annotations

import sys
import time

marks = [float(sys.argv[2]), time.monotonic()]

import itertools  # noqa: E402 - the clock runs
import json  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from typing import Any  # noqa: E402
from unittest import mock  # noqa: E402

from lastwords import cli  # noqa: E402, F401
from lastwords.capture.captured import KernelThread  # noqa: E402
from lastwords.capture.memory import Memory  # noqa: E402
from lastwords.capture.stop.live import Look, Recheck, Steps, capture_in_steps  # noqa: E402
from lastwords.examine import Options, process  # noqa: E402
from lastwords.model import to_json  # noqa: E402

PHASES = (
    "start-up",
    "import",
    "finding the interpreter",
    "dry run",
    "stop and copy",
    "reading the copy",
    "C stacks",
    "JSON",
)


def mark() -> None:
    """A phase ends here."""
    marks.append(time.monotonic())


def capture(pid: int, dry_run: Look, recheck: Recheck, **more: Any) -> Steps:  # noqa: ANN401
    """What `attach` does, and where its phases end."""
    mark()

    def timed(memory: Memory, threads: Sequence[KernelThread]) -> None:
        dry_run(memory, threads)
        mark()

    captured = yield from capture_in_steps(pid, timed, recheck, **more)
    mark()
    stacks = vars(process)["open_stacks"]

    def opened(*args: Any, **others: Any) -> Any:  # noqa: ANN401
        mark()
        return stacks(*args, **others)

    vars(process)["open_stacks"] = opened  # in this process, which ends then
    return captured


if __name__ == "__main__":
    mark()
    with mock.patch.object(process, "capture_in_steps", capture):
        report = process.attach_process(int(sys.argv[1]), Options())
    mark()
    to_json(report)
    mark()
    lasted = [after - before for before, after in itertools.pairwise(marks)]
    print(json.dumps(dict(zip(PHASES, lasted, strict=True))))
