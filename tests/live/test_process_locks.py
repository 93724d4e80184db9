"""Locks of processes: who of this one has them, as they say themselves."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from harness import Target, wait_until_at_rest
from interpreters import Interpreter
from lastwords.examine import Options, attach_process

Start = Callable[..., Target]
OURS = {"taken": "likely", "recursive": "certain"}  # a plain one any process may give back
pytestmark = pytest.mark.interpreters("!free_threaded")


def test_who_of_this_process_has_them(interpreter: Interpreter, start_target: Start) -> None:
    target = start_target(interpreter, "process_locks.py")
    children = psutil.Process(target.pid).children()
    try:
        wait_until_at_rest(target.pid, threads=5)
        report = attach_process(target.pid, Options(native=False))
    finally:
        for child in children:
            child.kill()
    threads = {one.id: one.name for one in report.threads}
    waits = {edge.to: threads[edge.origin] for edge in report.edges if edge.kind == "waits"}
    assert set(waits.values()) == {*OURS, "handed", "child"}
    holds = [edge for edge in report.edges if edge.kind == "holds" and edge.to in waits]
    assert {waits[edge.to]: edge.certainty for edge in holds} == OURS
    assert {threads[edge.origin] for edge in holds} == {"MainThread"}
    assert len(holds) == len(OURS)
