"""Locks of threads that coroutines keep while they await: for each finding a report that has it, and near misses."""

from __future__ import annotations

import pytest

from lastwords.diagnose import diagnose
from lastwords.model import Certainty, Finding, Task, Thread, WaitsFor
from sample_tasks import TaskScene, alone
from sample_waits import frame

CALLED = frame("asyncio.events", "_run")


def find(scene: TaskScene, code: str) -> list[Finding]:
    return [one for one in diagnose(scene.report) if one.code == code]


def shared(certainty: Certainty = "certain", idle: float = 60.0) -> tuple[TaskScene, Thread, Task]:
    """In a loop that is in a task's code, and waits there for a lock that another task has."""
    scene = TaskScene()
    main = scene.thread("MainThread", 16, CALLED, frame("asyncio.base_events", "_run_once"), idle_s=idle)
    loop = scene.loop(main, scene.task("deposit", 16))
    transfer, lock = scene.task("transfer", 11, loop=loop.id), scene.lock("account")
    scene.has(transfer, lock, certainty)
    scene.waits(main, lock, detail="lock")
    return scene, main, transfer


def test_a_loop_that_waits_for_its_own_task() -> None:
    scene, main, transfer = shared()
    [finding] = find(scene, "loop-blocked")
    assert finding.title == (
        "the event loop of MainThread stands still at /srv/app.py:16: task deposit waits for lock account, held by "
        "transfer, which cannot run before MainThread can"
    )
    assert finding.certainty == "certain"
    assert [one.id for one in finding.subjects] == [main.id, "task-deposit", transfer.id]
    assert [one.text for one in finding.evidence][:3] == [
        "MainThread waits for lock account",
        "transfer holds it (certain)",
        "transfer cannot run before MainThread can",
    ]
    assert "asyncio.Lock" in (finding.fix or "")
    assert find(scene, "lock-cycle") == find(scene, "waits-on-holder") == []


def test_for_that_no_time_has_to_pass() -> None:
    assert len(find(shared(idle=0.01)[0], "loop-blocked")) == 1
    scene, _, transfer = shared(idle=0.01)
    transfer.loop = None  # it may be another's, which runs
    assert find(scene, "loop-blocked") == []


def test_who_has_the_lock_is_in_the_title_only_where_it_is_certain() -> None:
    [finding] = find(shared("likely")[0], "loop-blocked")
    assert finding.title.endswith("task deposit waits: lock")
    assert "transfer holds it (likely)" in [one.text for one in finding.evidence]


def kept(idle: float = 60.0) -> tuple[TaskScene, Task]:
    """A thread waits for the lock of a task that sleeps; the loop polls."""
    scene = TaskScene()
    main, saving = scene.thread("MainThread", 20, idle_s=idle), scene.thread("saving", 8)
    scene.waits(main, None, "io", detail="epoll_wait on fd 3", call="epoll_wait")
    loop, lock = scene.loop(main), scene.lock("table")
    refresh = scene.task("refresh", 12, loop=loop.id)
    refresh.waits_for = WaitsFor(kind="sleep", detail="asyncio.sleep", has_timeout=True)
    scene.has(refresh, lock, "certain")
    scene.waits(saving, lock)
    return scene, refresh


def test_a_thread_behind_a_task_that_sleeps_with_its_lock() -> None:
    [finding] = find(kept()[0], "waits-on-holder")
    assert finding.title == "saving waits for lock table, held by refresh, which itself waits: asyncio.sleep"
    assert finding.certainty == "certain"


def test_a_loop_that_has_just_run_and_a_lock_that_only_tasks_want() -> None:
    assert find(kept(idle=0.2)[0], "waits-on-holder") == []
    scene, refresh = kept()
    refresh.loop = None  # nobody knows whether it has run
    assert find(scene, "waits-on-holder") == []
    scene, _ = kept()
    lock = scene.report.objects[0]
    scene.report.threads.pop()
    scene.awaits(scene.task("other", loop="loop-MainThread"), lock)
    assert find(scene, "waits-on-holder") == []


@pytest.mark.parametrize("is_worker", [True, False])
def test_the_one_at_the_end_is_named_also_where_it_is_a_thread(is_worker: bool) -> None:
    scene = alone()
    [serve, _] = scene.report.tasks
    worker, future = scene.thread("asyncio_0", 30), scene.lock("future", "future", locked=None)
    scene.waits(worker, scene.lock("stop", "event", locked=None), "event", detail="Event.wait: not set")
    scene.report.edges = [one for one in scene.report.edges if one.origin != serve.id]
    scene.awaits(serve, future)
    if is_worker:
        scene.holds(worker, future)
    [finding] = find(scene, "thread-stranded")
    says = {
        True: "asyncio_0: it waits: Event.wait: not set, and task serve waits for it",
        False: "task serve: it waits: awaits, and the event loop of MainThread has nothing else to wait for",
    }
    assert finding.title == f"nothing is left that could wake {says[is_worker]}"


def test_a_lock_is_not_orphaned_where_a_task_was_not_read_that_may_have_it() -> None:
    scene, refresh = kept()
    scene.report.edges = [one for one in scene.report.edges if one.kind != "holds"]
    scene.report.threads[1].idle_s = 60.0
    assert [one.certainty for one in find(scene, "orphaned-lock")] == ["likely"]
    refresh.error = "a page that is not there"
    assert find(scene, "orphaned-lock") == []
