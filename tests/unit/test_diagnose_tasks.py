"""Hangs of asyncio tasks: for each finding a report that has it, and near misses that have not."""

# ruff: noqa: ANN401 - fields of the model's structs, handed on
from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastwords.diagnose import diagnose
from lastwords.diagnose.await_cycle import diagnose as diagnose_cycles
from lastwords.diagnose.exits import describe_activity
from lastwords.model import Certainty, Edge, Finding, Halt, Report, Task, Thread, WaitsFor
from sample_tasks import TaskScene, alone
from sample_waits import APP, frame

CYCLES = ("await-cycle", "lock-cycle")


def cycles(scene: TaskScene) -> list[tuple[str, str]]:
    return [(one.code, one.certainty) for one in diagnose(scene.report) if one.code in CYCLES]


def blocked(scene: TaskScene) -> list[Finding]:
    return [one for one in diagnose(scene.report) if one.code == "loop-blocked"]


def pair(certainty: Certainty = "certain", timeout: bool = False) -> TaskScene:
    """Two tasks that await each other, and one behind them."""
    scene = TaskScene()
    load, render, serve = scene.task("load", 3), scene.task("render", 6), scene.task("serve", 9)
    scene.awaits(load, render, timeout=timeout)
    scene.awaits(render, load, certainty=certainty)
    scene.awaits(serve, load)
    return scene


def test_two_tasks_that_await_each_other() -> None:
    (finding,) = diagnose_cycles(pair().report)
    assert finding.title == (
        "tasks await each other: load waits for the end of render, which waits for the end of load"
    )
    assert finding.certainty == "certain"
    assert [(one.text, one.line) for one in finding.evidence] == [
        ("load waits for the end of render", 3),
        ("render waits for the end of load", 6),
        ("behind them wait serve", None),
    ]
    assert [(one.kind, one.name, one.line) for one in finding.subjects] == [("task", "load", 3), ("task", "render", 6)]
    assert cycles(pair()) == [("await-cycle", "certain")]  # and no lock-cycle


def test_as_certain_as_what_is_least_so() -> None:
    assert cycles(pair("likely")) == [("await-cycle", "likely")]


def test_a_timeout_ends_it() -> None:
    assert cycles(pair(timeout=True)) == []


def test_a_chain_is_no_cycle() -> None:
    scene = TaskScene()
    first, second, third = (scene.task(name) for name in ("a", "b", "c"))
    scene.awaits(first, second)
    scene.awaits(second, third)
    scene.awaits(third)  # a future that nothing names
    assert cycles(scene) == []


def test_a_task_that_awaits_itself() -> None:
    scene = TaskScene()
    one = scene.task("all")
    scene.awaits(one, one)
    (finding,) = diagnose_cycles(scene.report)
    assert finding.title == "task all awaits its own end"


@pytest.mark.parametrize("back", [0, 1, 2])
def test_any_of_those_that_are_gathered_closes_it(back: int) -> None:
    scene = TaskScene()
    gathers = scene.task("gathers")
    children = [scene.task(f"child-{number}") for number in range(3)]
    scene.awaits(gathers, *children, certainty="likely")
    scene.awaits(children[back], gathers)
    assert cycles(scene) == [("await-cycle", "likely")]
    scene.report.edges.pop()
    assert cycles(scene) == []


def locked(*, mixed: bool = False, others: bool = False) -> TaskScene:
    """Two tasks (or a task and a thread) that take two locks in two orders."""
    scene = TaskScene()
    one = scene.task("one")
    other: Any = scene.thread("MainThread") if mixed else scene.task("other")
    first, second = scene.lock("first"), scene.lock("second")
    scene.has(one, first)
    scene.awaits(one, second)
    if mixed:
        scene.holds(other, second)
        scene.waits(other, first)
    else:
        scene.has(other, second)
        scene.awaits(other, first)
    if others:
        scene.has(scene.task("third"), second)
    return scene


def test_locks_of_asyncio_in_two_orders() -> None:
    assert cycles(locked()) == [("await-cycle", "likely")]


def test_a_cycle_with_a_thread_in_it_is_a_lock_cycle() -> None:
    assert cycles(locked(mixed=True)) == [("lock-cycle", "likely")]


def test_a_lock_that_either_may_have_closes_nothing() -> None:
    assert cycles(locked(others=True)) == []


def test_a_lock_that_is_held_while_its_holder_waits_is_how_such_locks_are_used() -> None:
    scene = TaskScene()
    holder, waiter, lock = scene.task("holder"), scene.task("waiter"), scene.lock("lock")
    scene.has(holder, lock)
    scene.awaits(holder)
    scene.awaits(waiter, lock)
    assert [one.code for one in diagnose(scene.report) if one.code != "healthy"] == []


def sleeping(idle: float = 60.0) -> tuple[TaskScene, Thread, Task]:
    """A coroutine that sleeps without `await`, and a task that is to run."""
    scene = TaskScene()
    calls = [frame("asyncio.events", "_run"), frame("asyncio.base_events", "_run_once")]
    main, task = scene.thread("MainThread", 8, *calls, idle_s=idle), scene.task("handler", 8)
    scene.waits(main, None, "sleep", detail="sleeps until 10:00:00")
    scene.task("other")
    return scene, main, task


def test_which_task_blocks_the_loop_and_what_is_late() -> None:
    scene, main, task = sleeping()
    scene.loop(main, task, ready=2, scheduled=5, overdue=3, overdue_s=59.5)
    (finding,) = blocked(scene)
    assert finding.title == (
        "the event loop of MainThread stands still at /srv/app.py:8: task handler sleeps until 10:00:00; "
        "3 timers are overdue"
    )
    assert [(one.text, one.value) for one in finding.evidence] == [
        ("MainThread sleeps until 10:00:00", "line 8"),
        ("called by the event loop", None),
        ("it has not run for", "60.0 s"),
        ("the task that runs is handler", "await line 8"),
        ("callbacks that the loop would call at once", "2"),
        ("timers whose time has passed", "3; the first is 59.5 s late"),
    ]
    assert [one.id for one in finding.subjects] == [main.id, task.id]


def test_a_loop_that_is_no_asyncio_s_own_is_known_by_the_task_that_runs() -> None:
    scene, main, task = sleeping()
    del main.stack[1:]
    task.stack = [*main.stack]
    assert blocked(scene) == []
    scene.loop(main, task)
    assert len(blocked(scene)) == 1
    task.stack = [frame("app", "another")]  # it is in a greenlet that does not run
    assert blocked(scene) == []


def test_a_moment_s_wait_blocks_nothing() -> None:
    scene, main, task = sleeping(idle=0.01)
    scene.loop(main, task, overdue=1, overdue_s=5.0)
    assert blocked(scene) == []


@pytest.mark.parametrize(("late", "found"), [(30.0, ["likely"]), (0.2, []), (None, [])])
def test_a_task_that_computes_for_long(late: float | None, found: list[str]) -> None:
    scene, main, task = sleeping()
    main.waits_for = None
    task.stack = [main.stack[0]]
    scene.loop(main, task, scheduled=1, overdue=1 if late else 0, overdue_s=late)
    assert [one.certainty for one in blocked(scene)] == found


def test_a_loop_that_waits_for_events_is_not_blocked() -> None:
    scene, main, task = sleeping()
    main.stack = [frame("asyncio.base_events", "_run_once")]
    scene.loop(main, overdue=1, overdue_s=5.0)
    task.state = "ready"
    assert blocked(scene) == []


def build(count: int, pairs: list[tuple[int, int]]) -> Report:
    scene = TaskScene()
    tasks = [scene.task(str(number)) for number in range(count)]
    for one in tasks:
        found = [tasks[end] for start, end in pairs if tasks[start] is one and end < count]
        if found:
            scene.awaits(one, *found)
    return scene.report


def reaches(pairs: list[tuple[int, int]], start: int, end: int) -> bool:
    seen, behind = set[int](), [start]
    while behind:
        here = behind.pop()
        for first, second in pairs:
            if first == here and second not in seen:
                seen.add(second)
                behind.append(second)
    return end in seen


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14, unique=True))
@settings(max_examples=150)
def test_any_graph_has_a_finding_where_it_has_a_cycle(pairs: list[tuple[int, int]]) -> None:
    found = list(diagnose_cycles(build(7, pairs)))
    told = [[int(subject.name) for subject in finding.subjects] for finding in found]
    assert bool(told) == any(reaches(pairs, one, one) for one in range(7))
    for names in told:  # each is one, and each task is in one alone
        assert all((one, names[(at + 1) % len(names)]) in pairs for at, one in enumerate(names))
    assert len({one for names in told for one in names}) == sum(map(len, told))


def test_a_cycle_of_20_000_tasks() -> None:
    scene = TaskScene()
    tasks = [scene.task(str(number)) for number in range(20_000)]
    for number, one in enumerate(tasks):
        scene.awaits(one, tasks[number - 1])
    begun = time.process_time()
    (finding,) = diagnose_cycles(scene.report)
    assert time.process_time() - begun < 2
    assert finding.title.endswith("waits for the end of 19990, and so on through 19990 more")
    assert len(finding.subjects) == len(finding.evidence) == 10


def test_the_second_of_several_waits_closes_a_circle_over_a_thread() -> None:
    scene = TaskScene()
    task, first, lock = scene.task("fetch", 4), scene.task("sleeps"), scene.lock("guard")
    future, worker = scene.lock("future", "future", locked=None), scene.thread("worker", 9)
    scene.awaits(task, first, future)
    scene.holds(worker, future)  # it works for it
    scene.waits(worker, lock)
    scene.report.edges.append(Edge(origin=task.id, to=lock.id, kind="holds", certainty="certain"))
    finding = diagnose(scene.report)[0]
    assert (finding.code, finding.certainty) == ("lock-cycle", "certain")
    assert {"fetch", "worker"} <= {one.name for one in finding.subjects}
    scene.report.edges = [one for one in scene.report.edges if one.to != future.id or one.kind != "waits"]
    assert "lock-cycle" not in [one.code for one in diagnose(scene.report)]


def stranded(scene: TaskScene) -> list[tuple[str, str]]:
    return [(one.title, one.certainty) for one in diagnose(scene.report) if one.code == "thread-stranded"]


def test_nothing_is_left_in_the_loop_that_could_wake_a_task() -> None:
    title = (
        "nothing is left that could wake task work: it waits: awaits, and the event loop of MainThread has nothing "
        "else to wait for"
    )
    assert stranded(alone()) == [(title, "certain")]
    assert stranded(alone(signals_handled=["SIGINT"])) == [(title, "likely")]  # asyncio.run's, or the program's
    finding = diagnose(alone().report)[0]
    assert [(one.kind, one.line) for one in finding.subjects] == [("task", 8), ("task", 15), ("thread", 20)]


def test_something_is_left_that_may_wake_a_task() -> None:
    assert stranded(alone(pid=None)) == []  # a descriptor that others may write to
    assert stranded(alone(signals_handled=["SIGTERM"])) == []
    scene = alone()
    scene.waits(scene.thread("worker"), None, "process", detail="waits for the end of process 9", call="wait4")
    assert stranded(scene) == []
    scene = alone()
    wait = scene.report.threads[0].waits_for
    assert wait is not None
    wait.has_timeout = True  # a timer
    assert stranded(scene) == []


def test_a_loop_that_was_woken_just_now() -> None:
    scene = alone()
    loop, main = scene.report.loops[0], scene.report.threads[0]
    main.idle_s = 0.01
    assert len(stranded(scene)) == 1  # it has no callback to call
    loop.ready = 1
    assert stranded(scene) == []
    loop.ready = None  # nobody knows
    assert stranded(scene) == []
    main.idle_s = 1.0
    assert len(stranded(scene)) == 1


def test_tasks_in_a_circle_are_not_told_again_as_stranded() -> None:
    scene = alone()
    [serve, work] = scene.report.tasks
    scene.awaits(work, serve)
    scene.report.edges = [one for one in scene.report.edges if one.to in (serve.id, work.id)]
    assert [one.code for one in diagnose(scene.report)] == ["await-cycle"]


def test_a_loop_that_sleeps_over_its_work() -> None:
    scene = alone()
    loop, main, [serve, _] = scene.report.loops[0], scene.report.threads[0], scene.report.tasks
    loop.ready, serve.state, serve.waits_for = 1, "ready", None
    finding = diagnose(scene.report)[0]
    assert (finding.code, finding.certainty, finding.title) == (
        "lost-wakeup",
        "certain",
        "the event loop of MainThread sleeps, and has 1 callback to call, among them task serve's next step: "
        "it was not woken",
    )
    assert [one.line for one in finding.subjects] == [15, 20]
    main.idle_s = 0.1  # about to wake
    assert "lost-wakeup" not in {one.code for one in diagnose(scene.report)}
    main.idle_s, scene.process.halt = 60.0, Halt(how="frozen")  # it may be in the middle of a turn
    assert "lost-wakeup" not in {one.code for one in diagnose(scene.report)}
    scene.process.halt, loop.ready = None, 0
    assert "lost-wakeup" not in {one.code for one in diagnose(scene.report)}


def cancelled(**fields: Any) -> TaskScene:
    """A task that was told to end sleeps on, and another awaits it."""
    scene = TaskScene()
    scene.loop(scene.thread("MainThread", 8))
    left, awaiting = scene.task("left", 7, loop="loop-MainThread", **{"cancelling": True, **fields}), scene.task("main")
    left.waits_for = WaitsFor(kind="sleep", detail="asyncio.sleep", has_timeout=True)
    scene.awaits(awaiting, left)
    return scene


def find_swallowed(scene: TaskScene) -> list[Finding]:
    return [one for one in diagnose(scene.report) if one.code == "kill-swallowed"]


def test_a_task_that_was_cancelled_and_goes_on() -> None:
    [finding] = find_swallowed(cancelled())
    assert finding.title == f"task left was told to end (cancel) and goes on at {APP}:7; main waits for its end"
    assert finding.certainty == "likely"


def test_at_the_end_of_asyncio_run_all_tasks_were_cancelled() -> None:
    scene = cancelled(cancelling=False)
    scene.report.edges.clear()
    scene.report.tasks.pop()
    scene.report.threads[0].stack = [frame("asyncio.runners", "_cancel_all_tasks")]
    [finding] = find_swallowed(scene)
    assert (finding.certainty, finding.title.partition("; ")[2]) == ("likely", "MainThread waits for its end")
    scene.task("another", loop="loop-MainThread")
    assert [one.certainty for one in find_swallowed(scene)] == ["possible"]


def is_about_to_end(scene: TaskScene) -> None:
    scene.report.tasks[0].state = "ready"


def waits_for_its_child(scene: TaskScene) -> None:
    scene.awaits(scene.report.tasks[0], scene.task("child"))


def nobody_waits(scene: TaskScene) -> None:
    scene.report.edges.clear()


def was_not_cancelled(scene: TaskScene) -> None:
    scene.report.tasks[0].cancelling = False


@pytest.mark.parametrize("change", [is_about_to_end, waits_for_its_child, nobody_waits, was_not_cancelled])
def test_a_task_of_which_nobody_waits_for_the_end_after_a_cancel(change: Any) -> None:
    scene = cancelled()
    change(scene)
    assert not find_swallowed(scene)


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (WaitsFor(kind="io", detail="asyncio.StreamWriter.drain"), "waits in asyncio.StreamWriter.drain"),
        (WaitsFor(kind="unknown", detail="awaits a future (Future)"), "awaits a future (Future)"),
        (WaitsFor(kind="lock", detail="asyncio.Lock.acquire"), "waits: asyncio.Lock.acquire"),
    ],
)
def test_what_a_task_does_in_words(wait: WaitsFor, said: str) -> None:
    task = TaskScene().task("one")
    task.waits_for = wait
    assert describe_activity(task) == said
