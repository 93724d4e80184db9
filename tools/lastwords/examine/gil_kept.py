"""How long the thread that has the GIL has kept it, where it runs and others wait for it.

Who wants the GIL waits 5 ms and then asks for it, and code of Python gives it away at once: `switch_number` counts how
often it went to another thread (Python/ceval_gil.h). C code that runs on without giving it away keeps it so long as it
likes: a regular expression, a sort, a library.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lastwords.capture.memory import ReadError
from lastwords.cpython import Interpreter
from lastwords.cpython.gil import read_gil
from lastwords.cpython.threads import PythonThread
from lastwords.model import Report

LOOKED = 1.0  # seconds: what takes less is a pause, and none that anybody notices
BETWEEN = 0.05


@contextmanager
def watched_gil(report: Report, interp: Interpreter, threads: Sequence[PythonThread]) -> Iterator[None]:
    """From before the block until after it, and as long as nothing has changed, for a second at most.

    `interp` reads the process as it is now, without a cache.
    """
    gil = report.moments[0].gil
    holder = next((one for one in report.threads if gil and gil.waiters and one.id == gil.holder), None)
    states = [one.tstate for one in threads if holder and one.tid == holder.tid and holder.waits_for is None]
    began, first = time.monotonic(), _look(interp, states)
    yield
    while gil and first is not None and _look(interp, states) == first:
        gil.kept_s = time.monotonic() - began
        if gil.kept_s >= LOOKED:
            break
        time.sleep(BETWEEN)
    else:
        if gil:
            gil.kept_s = None


def _look(interp: Interpreter, holders: Sequence[int]) -> tuple[int, int] | None:
    """(Who has it, how often it has changed hands); None where it is none of these, or that is not counted."""
    try:
        found = read_gil(interp)[0] if holders else None
    except (ReadError, IndexError):
        return None
    is_known = found is not None and found.holder in holders and found.switches is not None
    return (found.holder or 0, found.switches or 0) if is_known and found else None
