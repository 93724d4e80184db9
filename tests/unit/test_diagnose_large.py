"""Graphs of 100,000 nodes are judged in seconds; twice the nodes are twice the work, not four times."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable

import pytest

from lastwords.diagnose import diagnose
from lastwords.model import Edge, Greenlet, Hub, Sample, Task
from lastwords.report.text import format_report
from sample_waits import Scene

NODES = 100_000
LIMIT = 10.0  # seconds of this processor, which others use too: at most 1.9 were measured, on a busy machine
CALLS = 120  # for each node, of Python and C functions: what those 1.9 seconds are, on any machine
FEW, FACTOR = 300, 4
SHAPES = {
    "pairs": "lock-cycle",  # each waits for its neighbour, and that one for it
    "ring": "lock-cycle",  # each for the next
    "chain": "waits-on-holder",  # each for the next, and the last for a descriptor
    "star": "waits-on-holder",  # all for the first, which waits for a descriptor
    "free": "orphaned-lock",  # nobody holds what they wait for
    "set": "lost-wakeup",  # each for an event of its own, which is set
    "tries": "healthy",  # each runs, and tries for a lock of its own
    "greenlets": "lock-cycle",  # of one hub, each for the next
    "tasks": "await-cycle",  # each for the next
}


def large(shape: str, nodes: int = NODES) -> Scene:
    """As many who wait as what they wait for; of tasks and greenlets as many as nodes."""
    if shape in SPECIAL:
        scene = Scene()
        SPECIAL[shape](scene, nodes)
        return scene
    return large_locks(shape, nodes // 2)


def large_locks(shape: str, count: int) -> Scene:
    """As many threads as locks; each thread waits for one, which another thread holds, or nobody."""
    scene = Scene()
    threads = [scene.thread(str(number)) for number in range(count)]
    for number, thread in enumerate(threads):
        lock = scene.lock(str(number))
        if shape in ("chain", "star") and number == 0:
            scene.waits(thread, None, detail="reads from fd 3", serves=False)
            scene.holds(thread, lock)
        elif shape == "star":
            scene.waits(thread, scene.report.objects[0])
        elif shape == "chain":
            scene.waits(thread, scene.report.objects[number - 1])
            scene.holds(thread, lock)
        else:
            scene.waits(thread, lock)
            if shape != "free":
                scene.holds(threads[number ^ 1 if shape == "pairs" else (number + 1) % count], lock)
    return scene


def wait_for_what_is_there(scene: Scene, nodes: int) -> None:
    for number in range(nodes // 2):
        event = scene.lock(str(number), "event", locked=None, count=1)
        scene.waits(scene.thread("MainThread" if number == 0 else str(number)), event)


def try_again_and_again(scene: Scene, nodes: int) -> None:
    for number in range(nodes // 2):
        thread = scene.thread("MainThread" if number == 0 else str(number), state="running")
        edge = Edge(origin=thread.id, to=scene.lock(str(number)).id, kind="references", certainty="likely")
        scene.report.edges.append(edge)
        scene.report.samples += [Sample(moment=scene.moment.id, thread=thread.id) for _ in range(5)]


def wait_in_one_hub(scene: Scene, nodes: int) -> None:
    main = scene.thread("MainThread", greenlet="hub")
    scene.report.hubs.append(Hub(id="h", moment=scene.moment.id, thread=main.id, greenlet="hub", state="polling"))
    for number in range(nodes):
        one = Greenlet(id=f"g-{number}", moment=scene.moment.id, thread=main.id, state="suspended", name=str(number))
        scene.report.greenlets.append(one)
        edge = Edge(origin=one.id, to=f"g-{(number + 1) % nodes}", kind="waits", certainty="certain")
        scene.report.edges.append(edge)


def await_each_other(scene: Scene, nodes: int) -> None:
    for number in range(nodes):
        task = Task(id=f"task-{number}", moment=scene.moment.id, name=str(number), state="waiting")
        scene.report.tasks.append(task)
        edge = Edge(origin=task.id, to=f"task-{(number + 1) % nodes}", kind="waits", certainty="certain")
        scene.report.edges.append(edge)


SPECIAL = {
    "set": wait_for_what_is_there, "tries": try_again_and_again, "greenlets": wait_in_one_hub, "tasks": await_each_other
}  # fmt: skip


@pytest.mark.parametrize("shape", ["pairs", "free"])
def test_it_is_judged_in_seconds(shape: str) -> None:
    report = large(shape).report
    began = time.process_time()
    assert diagnose(report)[0].code == SHAPES[shape]
    assert time.process_time() - began < LIMIT


def count_calls(work: Callable[[], object]) -> int:
    """How many functions are called meanwhile, of Python and of C: the same on every machine."""
    count = 0

    def on_event(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_a_node_costs_few_calls(shape: str) -> None:
    report = large(shape, FEW).report
    assert count_calls(lambda: diagnose(report)) < CALLS * FEW


@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_grows_as_the_graph_does(shape: str) -> None:
    def judge_and_tell(nodes: int) -> int:
        report = large(shape, nodes).report

        def work() -> None:
            report.findings = diagnose(report)
            assert report.findings[0].code == SHAPES[shape]
            assert len(list(format_report(report))) < 2_000

        return count_calls(work)

    assert judge_and_tell(FEW * FACTOR) < 1.2 * FACTOR * judge_and_tell(FEW)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_kept_grows_as_the_graph_does(shape: str) -> None:
    def measure(nodes: int) -> int:
        report = large(shape, nodes).report
        tracemalloc.start()
        try:
            diagnose(report)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert measure(FEW * FACTOR) < 1.3 * FACTOR * measure(FEW)


def test_the_count_finds_work_that_grows_faster() -> None:
    few, many = (count_calls(lambda n=n: [len("") for _ in range(n) for _ in range(n)]) for n in (20, 80))  # type: ignore[misc]
    assert many > 3 * 4 * few
