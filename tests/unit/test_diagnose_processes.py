"""`thread-stranded` across processes: pools that have lost their work, conditions that processes share, pipes."""

from __future__ import annotations

import pytest

from lastwords.diagnose import diagnose
from lastwords.examine.shared import link_shared
from lastwords.model import Capture, Finding, Frame, Halt, Moment, Process, Python, Thread
from sample_waits import Scene, frame

PARENT, CHILD = 7, 8


def judge(scene: Scene) -> list[tuple[str, str]]:
    return [(finding.code, finding.certainty) for finding in diagnose(scene.report)]


def first(scene: Scene) -> Finding:
    return diagnose(scene.report)[0]


def add_child(scene: Scene) -> Thread:
    """A worker process, whose only thread waits for what its parent writes."""
    scene.report.processes.append(Process(id="process-8", pid=CHILD, ppid=PARENT, signals_caught=["SIGINT"]))
    capture = Capture(method="test")
    scene.report.moments.append(Moment(id="moment-2", process="process-8", reason="attach", capture=capture))
    child = scene.thread("child", 9, moment="moment-2")
    child.is_main = True
    scene.waits(child, None, detail="reads from fd 3", call="read", pids=[PARENT], pid=PARENT, serves=True)
    return child


def pool() -> tuple[Scene, Thread]:
    """multiprocessing.Pool: one waits for a result, one for the ends of workers, one for what they send."""
    scene = Scene()
    main = scene.thread("MainThread", 3, frame("multiprocessing.pool", "wait"))
    scene.waits(main, scene.lock("_event", "event"), detail="Event.wait: not set")
    results = scene.thread("results", 4)
    scene.waits(results, None, detail="reads from fd 5", call="read", pids=[PARENT, CHILD], serves=True)
    return scene, results


def test_a_pool_whose_workers_all_wait_for_more_has_lost_the_work() -> None:
    scene, _ = pool()
    assert judge(scene) == []  # the worker was not read: it may work
    child = add_child(scene)
    assert judge(scene) == [("thread-stranded", "likely")]
    assert first(scene).title == (
        "nothing is left that could wake MainThread of process 7: it waits: Event.wait: not set, and so does the other "
        "thread; process 8 could, but waits so, too"
    )
    assert "BrokenProcessPool" in first(scene).fix
    child.waits_for = None
    child.state = "running"
    assert "thread-stranded" not in dict(judge(scene))


def test_processes_that_ran_while_they_were_read_may_never_have_waited_all_at_once() -> None:
    scene, _ = pool()
    child = add_child(scene)
    scene.report.window_ms = 500.0
    assert judge(scene) == [("thread-stranded", "likely")]
    child.idle_s = 0.4
    assert "thread-stranded" not in dict(judge(scene))


def test_who_starts_new_workers_gives_nobody_a_result() -> None:
    scene, _ = pool()
    add_child(scene)
    keeper = scene.thread("keeper", 5, frame("multiprocessing.pool", "_handle_workers"))
    scene.waits(keeper, None, "sleep", has_timeout=True)
    assert judge(scene) == [("thread-stranded", "likely")]
    keeper.stack.pop()  # somebody else who sleeps
    assert "thread-stranded" not in dict(judge(scene))


def test_a_tool_that_is_not_python_is_never_stopped_but_is_known_to_have_slept() -> None:
    scene, _ = pool()
    tool = add_child(scene)
    scene.report.window_ms = 500.0
    tool.consistent, tool.interpreter = False, None
    assert judge(scene) == [("thread-stranded", "likely")]
    tool.idle_s = 0.4
    assert "thread-stranded" not in dict(judge(scene))
    tool.idle_s = None
    assert "thread-stranded" not in dict(judge(scene))
    tool.idle_s, scene.report.processes[1].python = 60.0, Python(version="3.11.7")
    assert "thread-stranded" not in dict(judge(scene))


@pytest.mark.parametrize("change", ["timeout", "handler", "unknown", "stranger", "lock"])
def test_something_may_still_come_of_the_other_process(change: str) -> None:
    scene, results = pool()
    wait = add_child(scene).waits_for
    assert wait is not None
    assert results.waits_for is not None
    if change == "handler":
        scene.report.processes[1].signals_caught = ["SIGTERM"]
    wait.has_timeout = change == "timeout"
    if change == "unknown":
        results.waits_for.pids = None
    if change == "stranger":
        wait.pids = [PARENT, 1]
    if change == "lock":
        wait.call = "flock"
    assert "thread-stranded" not in dict(judge(scene))


@pytest.mark.parametrize(("sharers", "expected"), [([], True), ([CHILD], True), ([9], False), (None, False)])
def test_an_event_of_processes_may_be_set_by_all_who_share_it(sharers: list[int] | None, expected: bool) -> None:
    scene = Scene()
    event = scene.lock("ready", "process_event", locked=None, sharers=sharers)
    scene.waits(scene.thread("MainThread"), event, "event", detail="Event.wait")
    add_child(scene)
    assert ("thread-stranded" in dict(judge(scene))) is expected


def test_processes_that_wait_for_each_others_words() -> None:
    """The child has both ends open, so that nobody is the only one who could write to it."""
    scene = Scene()
    main = scene.thread("MainThread", 3)
    scene.waits(main, None, detail="reads from fd 3", call="read", pid=CHILD, pids=[CHILD])
    child = add_child(scene).waits_for
    assert child is not None
    child.pid, child.pids, child.serves = None, [PARENT, CHILD], None
    assert judge(scene) == [("thread-stranded", "likely")]
    assert "begin" in first(scene).fix
    child.pids = None
    assert judge(scene) == []


def test_the_lock_that_a_fork_found_taken_is_the_parents() -> None:
    scene = Scene()
    child, main = add_child(scene), scene.thread("MainThread", 3)
    scene.report.processes[1].forked = True
    edges = []
    for one, moment in ((main, "moment-1"), (child, "moment-2")):
        lock = scene.lock(f"of {one.name}", "process_lock", shared="1:2+0x0", sharers=[], moment=moment)
        scene.holds(one, lock, 4, "likely")
        edges.append(scene.report.edges[-1])
    link_shared(scene.report)
    assert {(edge.origin, edge.to) for edge in scene.report.edges if edge.kind == "holds"} == {
        (main.id, "o-of MainThread"),
        (main.id, "o-of child"),
    }
    assert (main.holds, child.holds) == (["o-of MainThread"], [])
    assert edges[0].at is not None
    scene.report.edges, edges[1].at = [*edges], Frame(kind="python", file=edges[0].at.file, line=9)
    link_shared(scene.report)  # one that it took itself, in another line
    assert len(scene.report.edges) == 4


def test_a_semaphore_of_processes_that_is_used_up_is_no_orphaned_lock() -> None:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), scene.lock("slots", "process_semaphore", sharers=[]), "lock")
    assert judge(scene) == [("thread-stranded", "certain")]


def test_a_pipe_whose_other_end_is_open_in_its_own_process_alone() -> None:
    scene = Scene()
    main, reader = scene.thread("MainThread"), scene.thread("reader", 5)
    scene.waits(main, reader)
    own = {"pid": PARENT, "pids": [PARENT]}
    scene.waits(reader, None, detail="poll, to read: fd 3", call="poll", serves=True, **own)
    assert judge(scene) == [("thread-stranded", "certain")]
    assert first(scene).title == (
        "nothing is left that could wake reader: it waits in poll, to read: fd 3, and MainThread waits for it"
    )
    assert "close that here" in first(scene).fix
    assert reader.waits_for is not None
    reader.waits_for.pids, reader.waits_for.pid = [PARENT, 9], None  # somebody else has it, too
    assert judge(scene) == [("healthy", "likely")]


def test_who_reads_its_own_pipe_with_a_lock_in_hand_is_a_holder() -> None:
    scene = Scene()
    main, reader, lock = scene.thread("MainThread"), scene.thread("reader", 5), scene.lock("lock")
    scene.holds(reader, lock)
    scene.waits(main, lock)
    scene.waits(reader, None, detail="reads from fd 3, a pipe", call="read", serves=True, pid=PARENT, pids=[PARENT])
    assert judge(scene) == [("waits-on-holder", "certain")]


def test_the_exit_waits_for_an_executor_of_processes() -> None:
    scene = Scene()
    manager = scene.thread("manager", 5)
    scene.waits(scene.thread("MainThread", 3, frame("concurrent.futures.process", "_python_exit")), manager)
    scene.waits(manager, None, detail="poll, to read: fd 3", call="poll", serves=True, pids=[PARENT, CHILD])
    scene.leaves()
    assert judge(scene) == [("exit-waits-for-executor", "certain")]
    title = "the exit waits for the executor's manager thread manager, which waits in poll, to read: fd 3"
    assert first(scene).title == title
    add_child(scene).waits_for = None  # it works
    title = (
        "the exit waits for the executor's manager thread manager of process 7, which waits for its worker process 8"
    )
    assert first(scene).title == title
    assert first(scene).evidence[-1].line == 9


def test_a_child_that_nobody_lets_run_is_waited_for_whatever_it_waits_for_itself() -> None:
    scene = Scene()
    child, main = add_child(scene), scene.thread("MainThread", 3)
    scene.waits(main, child, "process", detail="waits for the end of process 8, stopped", call="wait4", pid=CHILD)
    scene.waits(child, None, "unknown")
    assert judge(scene) == []
    scene.report.processes[1].halt = Halt(how="stopped")
    assert judge(scene) == [("waits-for-process", "certain")]
    assert first(scene).title == "MainThread of process 7 waits for the end of process 8, stopped"
    scene.report.processes[0].halt = Halt(how="frozen")  # all of them, from outside
    assert judge(scene) == []
