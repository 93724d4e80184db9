"""`waits-for-io`: the program waits for an answer, for room to write, or for a file lock."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.ends import find_ends, make_finding
from lastwords.model import Finding, Report, WaitsFor

CODE = "waits-for-io"

EXPLANATION = (
    "The main thread, or the one that it waits for, is in a system call that returns when somebody else does "
    "something: answers, reads what was written, unlocks the file. How long that takes is not in the program's hands."
)
FIX = (
    "See what the other end does: if it is a Python process on this host, `lastwords attach` its pid. Give sockets a "
    "timeout (settimeout, or the client library's own), and file locks a non-blocking try with a limit."
)
HANGING = ("flock", "fcntl", "connect", "write", "writev", "sendto", "sendmsg", "open", "openat")


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each program that is held up so. A server that nobody asks anything is not."""
    for end in find_ends(report):
        if end.wait.kind == "io" and _is_a_clients(end.wait):
            yield make_finding(end, CODE, EXPLANATION, FIX)


def _is_a_clients(wait: WaitsFor) -> bool:
    return wait.serves is False or (wait.serves is None and wait.call in HANGING)
