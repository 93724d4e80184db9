"""Hangs of threads: for each finding a report that has it, and near misses that have not."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastwords.diagnose import diagnose
from lastwords.diagnose.wait_graph import WaitGraph
from lastwords.model import (
    Capture,
    Certainty,
    Edge,
    Finding,
    Frame,
    Greenlet,
    Hub,
    Moment,
    Process,
    Python,
    Thread,
    WaitsFor,
)
from sample_waits import Scene, frame


def judge(scene: Scene) -> list[tuple[str, str]]:
    """What is wrong, in the order in which it is told."""
    return [(one.code, one.certainty) for one in diagnose(scene.report) if one.code != "healthy"]


def is_fine(scene: Scene) -> bool:
    return [(one.code, one.certainty) for one in diagnose(scene.report)] == [("healthy", "likely")]


def first(scene: Scene) -> Finding:
    return diagnose(scene.report)[0]


def cross(scene: Scene, certainty: Certainty = "certain", has_timeout: bool = False) -> list[Thread]:
    """Two threads that take two locks in two orders."""
    save, evict = scene.thread("save", 6), scene.thread("evict", 10)
    db, cache = scene.lock("db"), scene.lock("cache")
    scene.holds(save, db, 4)
    scene.holds(evict, cache, 8, certainty)
    scene.waits(save, cache)
    scene.waits(evict, db, has_timeout=has_timeout)
    return [save, evict]


def test_two_locks_in_two_orders() -> None:
    scene = Scene()
    [save, _] = cross(scene)
    main = scene.thread("MainThread", 13)
    scene.waits(main, save)
    finding = first(scene)
    assert judge(scene) == [("lock-cycle", "certain")]
    assert finding.title == "deadlock: save waits for lock cache, held by evict, which waits for lock db, held by save"
    assert [(one.text, one.file, one.line) for one in finding.evidence] == [
        ("save waits for lock cache", "/srv/app.py", 6),
        ("evict holds it (certain)", "/srv/app.py", 8),
        ("evict waits for lock db", "/srv/app.py", 10),
        ("save holds it (certain)", "/srv/app.py", 4),
        ("behind them wait MainThread", None, None),
    ]
    assert [(one.kind, one.name, one.line) for one in finding.subjects] == [
        ("thread", "save", 6),
        ("lock", "lock cache", None),
        ("thread", "evict", 10),
        ("lock", "lock db", None),
    ]


def test_a_cycle_is_as_certain_as_its_least_certain_step() -> None:
    scene = Scene()
    cross(scene, certainty="likely")
    assert judge(scene) == [("lock-cycle", "likely")]
    scene = Scene()
    cross(scene)[0].consistent = False
    assert judge(scene) == [("lock-cycle", "likely")]


def test_a_wait_with_a_timeout_makes_no_cycle() -> None:
    scene = Scene()
    cross(scene, has_timeout=True)
    assert judge(scene) == [("waits-on-holder", "certain")]


def test_a_lock_that_two_may_hold_makes_no_cycle() -> None:
    scene = Scene()
    cross(scene)
    scene.holds(scene.thread("third"), scene.report.objects[0], certainty="likely")
    assert judge(scene) == [("waits-on-holder", "certain")]


def test_threads_at_a_dropped_exception_are_not_judged() -> None:
    scene = Scene()
    cross(scene)
    scene.moment.reason = "unraisable"
    assert judge(scene) == []


def test_one_that_waits_for_what_it_holds_itself() -> None:
    scene = Scene()
    main, lock = scene.thread("MainThread", 8), scene.lock("lock")
    scene.holds(main, lock, 5)
    scene.waits(main, lock)
    assert judge(scene) == [("lock-cycle", "certain")]
    assert first(scene).title == "deadlock: MainThread waits for lock lock, which it holds itself"
    assert first(scene).evidence[1].text == "the same holds it (certain)"


def test_an_import_that_waits_for_a_thread_that_imports() -> None:
    scene = Scene()
    main, loader, lock = scene.thread("MainThread", 3), scene.thread("loader", 6), scene.lock("m", "module_lock")
    scene.waits(main, loader)
    scene.holds(main, lock)
    scene.waits(loader, lock)
    assert judge(scene) == [("import-deadlock", "certain")]
    assert first(scene).title == (
        "deadlock: MainThread waits for the end of loader, which waits for module lock m, held by MainThread"
    )


def test_the_import_lock_of_all_modules() -> None:
    scene = Scene()
    main, loader = scene.thread("MainThread", 3), scene.thread("loader", 6)
    scene.waits(main, loader)
    scene.waits(loader, main, "import_lock", detail="the import lock, to import m")
    assert judge(scene) == [("import-deadlock", "certain")]
    assert first(scene).title == (
        "deadlock: MainThread waits for the end of loader, which waits for the import lock, to import m, held by"
        " MainThread"
    )


def test_a_thread_that_a_fork_left_behind_holds_nothing() -> None:
    scene = Scene(forked=True)
    main, lock = scene.thread("MainThread", 8), scene.lock("lock")
    left = scene.thread("worker", 4, alive=False, state=None, idle_s=None, consistent=None)
    scene.waits(main, lock)
    scene.holds(left, lock)
    assert judge(scene) == [("fork-held-lock", "likely")]
    left.alive = True
    assert "fork-held-lock" not in [code for code, _ in judge(scene)]


@pytest.mark.parametrize("forked", [False, True])
def test_a_lock_whose_owner_is_gone(forked: bool) -> None:
    scene = Scene(forked=forked)
    main, lock = scene.thread("MainThread", 8), scene.lock("lock", "rlock", owner_ident=0xDEAD)
    scene.waits(main, lock)
    assert judge(scene) == [("fork-held-lock" if forked else "orphaned-lock", "certain")]
    assert "0xdead" in [one.value for one in first(scene).evidence]
    lock.owner = main.id  # the owner lives
    assert judge(scene) == []


def test_a_lock_that_no_frame_holds_is_orphaned_only_likely_and_only_after_a_while() -> None:
    scene = Scene()
    main, lock = scene.thread("MainThread", 8), scene.lock("lock")
    scene.waits(main, lock)
    assert judge(scene) == [("orphaned-lock", "likely")]
    main.idle_s = 0.1
    assert judge(scene) == []
    main.idle_s = 60.0
    scene.thread("torn", error="its stack makes no sense")
    assert judge(scene) == []


def test_a_child_that_has_begun_threads_may_have_lost_the_holder_itself() -> None:
    scene = Scene(forked=True)
    main, lock = scene.thread("MainThread", 8), scene.lock("lock")
    scene.waits(main, lock)
    left = "MainThread waits for lock lock, which is taken, and its holder was left behind by a fork"
    assert first(scene).title == left
    scene.waits(scene.thread("since"), scene.lock("never", "event"))
    orphan = next(one for one in diagnose(scene.report) if one.code == "fork-held-lock")
    assert orphan.title == f"{left}, or has ended since"


def test_a_lock_is_not_orphaned_where_somebody_has_taken_one_that_is_not_known() -> None:
    scene = Scene()
    main, worker = scene.thread("MainThread"), scene.thread("worker", may_hold=Frame(kind="python", line=3))
    for one in (main, worker):
        scene.waits(one, scene.lock(f"of {one.name}"))
    assert judge(scene) == [("thread-stranded", "certain")]  # all of them wait, whoever holds what
    worker.waits_for = None
    assert judge(scene) == []


def test_a_free_lock_is_not_orphaned() -> None:
    scene = Scene()
    main, lock = scene.thread("MainThread"), scene.lock("lock", locked=False)
    scene.waits(main, lock)
    assert judge(scene) == [("lost-wakeup", "certain")]


def test_a_holder_that_waits_for_something_else() -> None:
    scene = Scene()
    main, worker, lock = scene.thread("MainThread", 8), scene.thread("worker", 20), scene.lock("lock")
    scene.waits(main, lock)
    scene.holds(worker, lock, 18)
    scene.waits(worker, None, detail="reads from fd 5")
    assert judge(scene) == [("waits-on-holder", "certain")]
    assert first(scene).title == "MainThread waits for lock lock, held by worker, which itself waits: reads from fd 5"
    assert [one.line for one in first(scene).evidence] == [8, 18, 20]
    worker.idle_s = 0.1  # a lock held a moment longer
    assert judge(scene) == []
    worker.idle_s, worker.waits_for = 60.0, None  # it runs
    assert judge(scene) == []


def test_a_holder_that_waits_for_one_that_waits() -> None:
    scene = Scene()
    main, taker, holder, last = (scene.thread(name, line) for line, name in enumerate(("MainThread", "a", "b", "c"), 1))
    lock = scene.lock("lock")
    scene.waits(main, taker)
    scene.waits(taker, lock)
    scene.holds(holder, lock)
    scene.waits(holder, last)
    scene.waits(last, None, detail="reads from fd 5")
    assert judge(scene)[0] == ("waits-on-holder", "certain")
    assert first(scene).title == (
        "a waits for lock lock, held by b, which waits for c, which itself waits: reads from fd 5; "
        "MainThread waits behind it"
    )


def test_the_exit_waits_for_a_thread() -> None:
    scene = Scene()
    main, worker = scene.thread("MainThread"), scene.thread("worker", 7)
    scene.waits(main, worker)
    scene.waits(worker, None, detail="reads from fd 0")
    assert judge(scene) == []  # join() in the program
    scene.leaves()
    assert judge(scene) == [("exit-waits-for-thread", "certain")]
    assert first(scene).title == "the exit waits for thread worker, which reads from fd 0"
    assert ("/srv/app.py", 7) in [(one.file, one.line) for one in first(scene).evidence]


def test_the_exit_waits_for_an_executor() -> None:
    scene = Scene()
    main = scene.thread("MainThread", 1, frame("concurrent.futures.thread", "_python_exit"))
    scene.waits(main, scene.thread("pool-0_0", 7))
    scene.leaves()
    assert judge(scene) == [("exit-waits-for-executor", "certain")]
    assert first(scene).title == "the exit waits for the executor's worker pool-0_0, which runs"


def test_the_exit_waits_for_a_child_and_for_a_feeder() -> None:
    scene = Scene()
    main = scene.thread("MainThread", 1, frame("multiprocessing.util", "_exit_function"))
    scene.waits(main, None, "process", detail="waits for the end of process 9", call="wait4")
    scene.leaves("atexit")
    assert judge(scene) == [("exit-waits-for-process", "certain")]
    scene = Scene()
    outer = [frame("multiprocessing.queues", "_finalize_join"), frame("multiprocessing.util", "_exit_function")]
    main = scene.thread("MainThread", 1, *outer)
    scene.waits(main, scene.thread("QueueFeederThread"))
    scene.leaves("atexit")
    assert judge(scene)[0] == ("exit-waits-for-process", "certain")
    assert first(scene).title == "the exit waits for the queue's feeder thread QueueFeederThread, which runs"


@pytest.mark.parametrize(("seconds", "said"), [(90, "90 s"), (3600, "60 min"), (36_000, "10.0 h")])
def test_the_exit_waits_for_a_timer(seconds: int, said: str) -> None:
    scene = Scene()
    main, timer = scene.thread("MainThread"), scene.thread("Thread-1")
    scene.waits(main, timer)
    until = datetime.fromisoformat(scene.report.captured_at).timestamp() + seconds
    finished = scene.lock("finished", "event")
    scene.waits(timer, finished, detail="Event.wait: not set", has_timeout=True, until=until)
    scene.leaves()
    assert first(scene).title == (
        f"the exit waits for thread Thread-1, which waits: Event.wait: not set, for {said} more"
    )


def test_an_atexit_callback_that_waits() -> None:
    scene = Scene()
    main = scene.thread("MainThread", 1, frame("queue", "join"))
    scene.waits(main, scene.lock("jobs", "queue"), detail="Queue.join")
    scene.thread("daemon")
    scene.leaves("atexit")
    assert judge(scene) == [("exit-callback-blocked", "certain")]
    assert first(scene).title == "the exit waits in the atexit callback join: it waits: Queue.join"


def test_the_gil_is_kept_by_who_runs() -> None:
    scene = Scene()
    main, ticker = scene.thread("MainThread", 7, state="running"), scene.thread("ticker")
    scene.waits(ticker, None, "gil")
    scene.gil(main, ticker)
    gil = scene.moment.gil
    assert gil is not None
    assert judge(scene) == []
    gil.kept_s = 0.4  # it sorts
    assert judge(scene) == []
    gil.kept_s = 1.02
    assert judge(scene) == [("gil-held", "likely")]
    assert first(scene).title == (
        "MainThread keeps the GIL at /srv/app.py:7, and runs: for 1.0 s nobody else has had it; 1 thread waits for it"
    )
    gil.waiters = []
    assert judge(scene) == []


def test_the_gil_is_held_over_a_wait() -> None:
    scene = Scene()
    main, ticker = scene.thread("MainThread", 7), scene.thread("ticker", 4)
    scene.waits(main, None, "sleep", detail="sleeps", call="clock_nanosleep")
    scene.waits(ticker, None, "gil")
    scene.gil(main, ticker)
    assert judge(scene) == [("gil-held", "certain")]
    assert first(scene).title == (
        "MainThread holds the GIL and waits at /srv/app.py:7 (sleeps); 1 thread waits for the GIL"
    )
    main.idle_s = 0.01  # about to give it back
    assert judge(scene) == []
    main.idle_s, main.waits_for = 60.0, None  # it computes
    assert judge(scene) == []


def test_the_result_of_the_work_that_one_is_in() -> None:
    scene = Scene()
    worker, future = scene.thread("worker"), scene.lock("mine", "future")
    scene.waits(worker, future, "condition")
    scene.holds(worker, future)
    assert judge(scene)[0] == ("lock-cycle", "certain")
    assert first(scene).title == "deadlock: worker waits for future mine, which it works for itself"
    assert "RLock" not in first(scene).fix


def test_an_exit_callback_waits_for_who_has_its_lock() -> None:
    scene = Scene()
    main, flusher, lock = scene.thread("MainThread"), scene.thread("flusher"), scene.lock("lock")
    scene.waits(main, lock)
    scene.holds(flusher, lock)
    scene.waits(flusher, None, "sleep", detail="sleeps until 12:00:00", has_timeout=True)
    scene.leaves("atexit")
    title = (
        "the exit waits in the atexit callback MainThread: it waits for lock lock, held by flusher, which sleeps until "
    )
    assert first(scene).title == f"{title}12:00:00"
    other = scene.thread("other")
    flusher.waits_for = None
    scene.waits(flusher, other)
    title = title.replace("which sleeps until ", "which in the end waits for other, which runs")
    assert first(scene).title == title


def test_nobody_is_left_to_wake_anybody() -> None:
    scene = Scene()
    main = scene.thread("MainThread", 7)
    scene.waits(main, scene.lock("result", "event"), detail="Event.wait: not set")
    assert judge(scene) == [("thread-stranded", "certain")]
    assert first(scene).title == (
        "nothing is left that could wake MainThread: it waits: Event.wait: not set, and no other thread is left"
    )
    scene.thread("C", interpreter=None)  # a C library's thread that runs
    assert judge(scene) == []
    scene.report.threads[1].waits_for = scene.report.threads[0].waits_for  # or waits as well
    assert judge(scene) == [("thread-stranded", "likely")]


def test_somebody_was_woken_just_now() -> None:
    scene = Scene()
    main, worker = scene.thread("MainThread", 7, idle_s=0.0), scene.thread("worker", 4, idle_s=0.0)
    scene.waits(main, scene.lock("turn", "condition"), detail="Condition.wait")
    scene.waits(worker, scene.lock("work", "simple_queue"), "queue", detail="SimpleQueue")
    assert judge(scene) == [("thread-stranded", "certain")]
    for one in (main, worker):
        wait = one.waits_for
        assert wait is not None
        wait.woken = True
        assert judge(scene) == []
        wait.woken = False


def test_the_one_at_the_end_of_the_waiting_is_named() -> None:
    scene = Scene()
    main, worker = scene.thread("MainThread", 7), scene.thread("worker", 4)
    scene.waits(main, worker)
    scene.waits(worker, scene.lock("permits", "semaphore"), detail="Semaphore.acquire: 0 left")
    assert judge(scene) == [("thread-stranded", "certain")]
    assert first(scene).title == (
        "nothing is left that could wake worker: it waits: Semaphore.acquire: 0 left, and MainThread waits for it"
    )
    assert [one.line for one in first(scene).subjects] == [4, 7]


def test_both_ends_of_a_connection_wait_for_each_other() -> None:
    scene = Scene()
    main, server = scene.thread("MainThread", 7), scene.thread("server", 4)
    for one in (main, server):
        scene.waits(one, None, detail="receives from fd 4", call="recvfrom", pid=7, serves=True)
    assert judge(scene) == [("thread-stranded", "certain")]
    assert first(scene).title == (
        "nothing is left that could wake MainThread: it receives from fd 4, and so does the other thread"
    )
    server.idle_s = 0.01  # what it reads may just have come
    assert judge(scene) == []
    server.idle_s = 1.0
    wait = server.waits_for
    assert wait is not None
    wait.pid = 8  # another process may write
    assert judge(scene) == []
    wait.pid = None  # or nobody knows who
    assert judge(scene) == []
    wait.pid, wait.call = 7, "flock"  # of a lock: who has it
    assert "thread-stranded" not in dict(judge(scene))


def test_one_who_waits_for_an_answer_from_its_own_process() -> None:
    scene = Scene()
    scene.waits(scene.thread("MainThread", 7), None, detail="receives from fd 4", call="recvfrom", pid=7, serves=False)
    assert judge(scene) == [("waits-for-io", "certain")]


@pytest.mark.parametrize("change", ["timeout", "signal", "handler", "reader", "unknown"])
def test_something_is_left_that_may_wake_it(change: str) -> None:
    caught = {"signal": ["SIGINT", "SIGTERM"], "unknown": None}.get(change, [])
    scene = Scene(signals_caught=caught, signals_handled=["SIGINT"] if change == "handler" else [])
    scene.waits(scene.thread("MainThread", 7), scene.lock("result", "event"), has_timeout=change == "timeout")
    if change == "reader":
        scene.waits(scene.thread("reader"), None)
    assert judge(scene) == []


def test_a_client_waits_for_an_answer() -> None:
    scene = Scene()
    main, worker = scene.thread("MainThread", 3), scene.thread("worker", 9)
    scene.waits(main, worker)
    scene.waits(worker, None, detail="receives from fd 4", call="recvfrom", serves=False)
    assert judge(scene) == [("waits-for-io", "certain")]
    assert first(scene).title == "worker receives from fd 4, and MainThread waits for it"
    assert [one.line for one in first(scene).evidence] == [3, 9, None]
    wait = worker.waits_for
    assert wait is not None
    wait.has_timeout = True
    assert judge(scene) == [("waits-for-io", "likely")]
    worker.idle_s = 0.1
    assert "waits-for-io" not in dict(judge(scene))
    worker.idle_s, wait.serves = 60.0, True
    assert "waits-for-io" not in dict(judge(scene))


@pytest.mark.parametrize(("call", "code"), [("flock", "waits-for-io"), ("recvfrom", None)])
def test_calls_of_which_it_is_not_known_whom_they_wait_for(call: str, code: str | None) -> None:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, detail="...", call=call)
    assert [found for found, _ in judge(scene)] == ([code] if code else [])


def test_a_program_waits_for_its_child() -> None:
    scene = Scene()
    scene.waits(scene.thread("MainThread", 3), None, "process", detail="waits for the end of process 9", call="wait4")
    assert judge(scene) == [("waits-for-process", "certain")]
    assert first(scene).title == "MainThread waits for the end of process 9"


def families(detail: str = "writes to fd 1") -> Scene:
    """A parent that waits for its child, which waits until the parent reads what it writes."""
    scene = Scene()
    python = Python(version="3.11.7")
    child = Process(
        id="process-9", pid=9, ppid=7, argv=["python", "child.py"], signals_caught=[], forked=False, python=python
    )
    scene.report.processes.append(child)
    capture = Capture(method="test")
    scene.report.moments.append(Moment(id="moment-2", process="process-9", reason="attach", capture=capture))
    scene.report.edges.append(Edge(origin="process-9", to="process-7", kind="parent", certainty="certain"))
    parent, writer = scene.thread("MainThread", 3), scene.thread("MainThread", 9, moment="moment-2", id="t-child")
    for one, pid, wait in (
        (parent, 9, WaitsFor(kind="process", detail="waits for the end of process 9", call="wait4", pid=9)),
        (writer, 7, WaitsFor(kind="io", detail=detail, call="write", pid=7)),
    ):
        one.waits_for = wait
        edge = Edge(origin=one.id, to=f"process-{pid}", kind="waits", certainty="certain", evidence=wait.detail)
        scene.report.edges.append(edge)
    return scene


def test_a_parent_and_a_child_wait_for_each_other() -> None:
    scene = families()
    assert judge(scene) == [("lock-cycle", "certain")]
    assert first(scene).title == (
        "deadlock: MainThread of process 7 waits for the end of process 9, "
        "which waits for MainThread of process 7 (write)"
    )
    assert "communicate()" in first(scene).fix
    scene.thread("reader")  # another thread of the parent may read
    assert judge(scene)[0] == ("lock-cycle", "likely")


def test_a_parent_and_a_program_that_is_not_python_wait_for_each_other() -> None:
    scene = families()
    process, (_, writer) = scene.report.processes[1], scene.report.threads
    process.python, writer.is_main, writer.interpreter = None, None, None
    assert judge(scene) == [("lock-cycle", "certain")]
    scene.thread("tool", moment="moment-2")  # another thread of its own, or of the parent, may go on
    assert "lock-cycle" not in dict(judge(scene))
    scene.report.threads[-1].moment = "moment-1"
    assert "lock-cycle" not in dict(judge(scene))


def test_what_a_tool_does_that_does_not_wait_for_python_is_its_own_business() -> None:
    scene = families()
    process, (_, writer) = scene.report.processes[1], scene.report.threads
    process.python, writer.is_main, writer.interpreter = None, None, None
    scene.report.edges = [edge for edge in scene.report.edges if edge.origin != writer.id]
    writer.waits_for = WaitsFor(kind="unknown", call="futex")
    assert judge(scene) == [("waits-for-process", "certain")]
    scene.report.edges.append(Edge(origin=writer.id, to="process-9", kind="waits", certainty="likely"))  # for itself
    assert judge(scene) == [("waits-for-process", "certain")]


@pytest.mark.parametrize("late", [0, 1])
def test_processes_that_ran_while_they_were_read_may_have_answered_each_other(late: int) -> None:
    scene = families()
    scene.report.window_ms = 500.0
    assert judge(scene) == [("lock-cycle", "certain")]
    scene.report.threads[late].idle_s = None  # not known
    assert judge(scene)[0] == ("lock-cycle", "likely")
    scene.report.threads[late].idle_s = 0.4
    assert "lock-cycle" not in dict(judge(scene))


def test_a_coroutine_that_waits_for_good_blocks_its_loop_from_the_first_moment() -> None:
    scene = Scene(signals_caught=["SIGINT"])
    loop = [frame("asyncio.events", "_run"), frame("asyncio.base_events", "_run_once")]
    main, saving = scene.thread("MainThread", 9, *loop), scene.thread("saving", 3)
    main.idle_s = 0.01
    scene.waits(main, None, "join", detail="Thread.join: saving")
    scene.waits(saving, scene.lock("stop", "event", locked=None), "event")
    assert judge(scene)[0] == ("loop-blocked", "certain")
    scene.waits(saving, scene.lock("stop", "event", locked=None), "event", has_timeout=True)
    assert judge(scene) == []


def test_a_callback_of_the_event_loop_that_waits() -> None:
    scene = Scene()
    loop = [frame("asyncio.events", "_run"), frame("asyncio.base_events", "_run_once")]
    main = scene.thread("MainThread", 8, *loop)
    scene.waits(main, None, "sleep", detail="sleeps for 60 s", has_timeout=True)
    assert judge(scene) == [("loop-blocked", "certain")]
    assert first(scene).title == "the event loop of MainThread stands still at /srv/app.py:8: it sleeps for 60 s"
    main.idle_s = 0.01
    assert judge(scene) == []
    main.idle_s, main.stack = 60.0, [frame("selectors", "select"), loop[1]]  # the loop itself
    assert judge(scene) == []


@pytest.mark.parametrize(
    ("wait", "fine"),
    [
        (None, True),
        ({"kind": "sleep"}, True),
        ({"kind": "gil"}, True),
        ({"call": "accept4", "serves": True}, True),
        ({"call": "recvfrom", "has_timeout": True}, True),
        ({"call": "recvfrom"}, False),
        ({"kind": "unknown", "call": "rt_sigtimedwait"}, True),
        ({"kind": "unknown", "call": "io_getevents"}, False),
    ],
)
def test_what_is_fine_and_what_nobody_can_tell(wait: dict[str, Any] | None, fine: bool) -> None:
    scene = Scene(signals_caught=["SIGTERM"])
    main = scene.thread("MainThread", 3)
    if wait is not None:
        scene.waits(main, None, wait.get("kind"), call=wait.get("call"), **_more(wait))
    assert (judge(scene), is_fine(scene)) == ([], fine)
    scene.waits(scene.thread("worker"), scene.lock("jobs", "queue"))  # as workers of pools do
    assert (judge(scene), is_fine(scene)) == ([], fine)
    main.error = "its stack makes no sense"
    assert (judge(scene), is_fine(scene)) == ([], False)


def _more(wait: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wait.items() if key in ("serves", "has_timeout")}


def find_cycles(waits: dict[int, int], holders: dict[int, int]) -> set[frozenset[int]]:
    """The cycles of thread -> lock that it waits for -> thread that holds it, found by walking from every thread."""
    cycles = set()
    for thread, lock in waits.items():
        path, at = [thread], holders.get(lock)
        while at is not None and at not in path:
            path.append(at)
            at = holders.get(waits[at]) if at in waits else None
        if at is not None:
            cycles.add(frozenset(path[path.index(at) :]))
    return cycles


@given(
    st.dictionaries(st.integers(0, 11), st.integers(0, 7)),
    st.dictionaries(st.integers(0, 7), st.integers(0, 11)),
)
def test_exactly_the_cycles_that_are_there(waits: dict[int, int], holders: dict[int, int]) -> None:
    scene = Scene()
    threads = [scene.thread(str(number)) for number in range(12)]
    locks = [scene.lock(str(number)) for number in range(8)]
    for thread, lock in waits.items():
        scene.waits(threads[thread], locks[lock])
    for lock, thread in holders.items():
        scene.holds(threads[thread], locks[lock])
    found = [
        frozenset(int(one.name) for one in finding.subjects if one.kind == "thread")
        for finding in diagnose(scene.report)
        if finding.code == "lock-cycle"
    ]
    assert len(found) == len(set(found))
    assert set(found) == find_cycles(waits, holders)


def test_a_hundred_thousand_threads_in_one_chain_that_ends_in_a_cycle() -> None:
    scene, count = Scene(), 100_000
    threads = [scene.thread(str(number)) for number in range(count)]
    for number, thread in enumerate(threads):
        scene.waits(thread, threads[number + 1 if number + 1 < count else count - 2])
    assert [len(cycle) for cycle in WaitGraph(scene.report).cycles] == [2]
    assert judge(scene)[0] == ("lock-cycle", "certain")


def test_who_holds_a_lock_and_waits_for_an_orphaned_one_is_a_symptom() -> None:
    scene = Scene()
    main, worker = scene.thread("MainThread", 8), scene.thread("worker", 20)
    left, lock = scene.lock("left"), scene.lock("lock")
    scene.waits(worker, left)
    scene.holds(worker, lock, 18)
    scene.waits(main, lock)
    assert judge(scene) == [("orphaned-lock", "likely")]
    assert first(scene).evidence[-1].text == "behind them wait MainThread"
    worker.idle_s = 0.1  # it may have been taken just now
    assert judge(scene) == []


def test_a_cycle_through_a_hub_is_not_told_again_as_a_hub_that_is_blocked() -> None:
    scene = hub_in_a_cycle()
    assert judge(scene) == [("lock-cycle", "certain")]
    scene.report.edges = [one for one in scene.report.edges if one.origin != "g-waits"]
    assert "hub-blocked" in dict(judge(scene))


def hub_in_a_cycle() -> Scene:
    """A greenlet stops its thread for the lock of a thread, which waits for that of another greenlet."""
    scene = Scene()
    main, other = scene.thread("MainThread", greenlet="g-runs"), scene.thread("other", 9)
    log, table = scene.lock("log"), scene.lock("table")
    scene.report.hubs.append(Hub(id="hub", moment="moment-1", thread=main.id, greenlet="g-hub"))
    for name, state in (("g-runs", "running"), ("g-waits", "suspended")):
        one = Greenlet(id=name, moment="moment-1", thread=main.id, state=state, parent="g-hub")  # type: ignore[arg-type]
        scene.report.greenlets.append(one)
    scene.waits(main, log)
    scene.holds(other, log)
    scene.waits(other, table)
    scene.report.edges.append(Edge(origin="g-waits", to=table.id, kind="holds", certainty="certain"))
    return scene
