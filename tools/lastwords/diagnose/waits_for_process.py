"""`waits-for-process`: the program waits for the end of a child."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.ends import find_ends, make_finding
from lastwords.model import Finding, Report

CODE = "waits-for-process"

EXPLANATION = "The main thread, or the one that it waits for, waits until a child process has ended, and that runs on."
FIX = (
    "See what the child does: `lastwords attach --tree` reads it too, if it is Python. Give wait(), communicate() and "
    "join() a timeout. Read what the child writes while it runs (communicate() does): a full pipe stops it."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each program that is held up so. Who supervises a server is not."""
    for end in find_ends(report):
        if end.wait.kind == "process" and end.wait.serves is not True:
            yield make_finding(end, CODE, EXPLANATION, FIX)
