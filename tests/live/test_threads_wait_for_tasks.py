"""Threads that wait for coroutines of another thread's loop: which task works for whose future."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import Target, wait_until_at_rest
from interpreters import Interpreter
from lastwords.diagnose.wait_graph import WaitGraph
from lastwords.examine import Options, attach_process

pytestmark = pytest.mark.interpreters(minors=tuple(f"3.{minor}" for minor in range(7, 16)))


def test_the_way_leads_through_the_task(interpreter: Interpreter, start_target: Callable[..., Target]) -> None:
    target = start_target(interpreter, "thread_waits_for_coroutine.py")
    wait_until_at_rest(target.pid, threads=5)
    report = attach_process(target.pid, Options(native=False))
    assert not report.moments[0].capture.problems
    graph = WaitGraph(report)
    threads = {one.name: one for one in report.threads}
    (task,) = report.tasks
    assert task.stack[-1].function == "answer"
    asked, working = graph.chain(threads["asker"].id).steps
    assert (asked.holder, asked.certainty) == (task.id, "certain")
    (worker,) = [one for one in report.threads if any(frame.function == "_worker" for frame in one.stack)]
    assert working.holder == worker.id
    future = threads["watcher"].waits_for
    assert future is not None
    assert future.target in {one.id for one in report.objects if one.kind == "future"}
    assert graph.chain(threads["watcher"].id).steps == ()
