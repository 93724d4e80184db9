"""Locks of threads that coroutines keep while they await: who has them, against what the program does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import Target, wait_until_at_rest
from interpreters import Interpreter
from lastwords.diagnose import diagnose
from lastwords.examine import Options, attach_process

HELD = {
    "block": "certain",
    "inner": "certain",
    "manager": "likely",  # who has the manager may leave it
    "asynchronous": "likely",
    "iteration": "likely",
    "calls": "likely",
    "stack": "likely",
}
SINCE_37 = tuple(f"3.{minor}" for minor in range(7, 16))
pytestmark = pytest.mark.interpreters("!free_threaded", minors=SINCE_37)


def test_each_lock_is_its_tasks(interpreter: Interpreter, start_target: Callable[..., Target]) -> None:
    target = start_target(interpreter, "tasks_keep_locks.py")
    wait_until_at_rest(target.pid, threads=len(HELD) + 3)
    report = attach_process(target.pid, Options(native=False))
    assert not report.moments[0].capture.problems
    tasks = {one.id: one.stack[-1].function for one in report.tasks}
    threads = {one.id: one.name for one in report.threads}
    waits = {edge.to: threads[edge.origin] for edge in report.edges if edge.kind == "waits" and edge.origin in threads}
    assert set(waits.values()) == {*HELD, "unknown", "ended"}
    holds = [edge for edge in report.edges if edge.kind == "holds" and edge.to in waits]
    assert {(waits[edge.to], tasks.get(edge.origin)) for edge in holds} == {(name, name) for name in HELD}
    assert {tasks[edge.origin]: edge.certainty for edge in holds} == HELD
    assert {tasks[one.id] for one in report.tasks if one.holds} == set(HELD)
    assert {tasks[one.id]: one.may_hold.function for one in report.tasks if one.may_hold} == {"unknown": "unknown"}
    assert "orphaned-lock" not in {one.code for one in diagnose(report)}
