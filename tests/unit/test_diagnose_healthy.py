"""`healthy`, of a moment: what servers and pools do all day; and what looks like it, and is not."""

from __future__ import annotations

import pytest

from lastwords.diagnose import diagnose
from lastwords.model import Capture, Edge, Finding, Loop, Moment, Object, Process, Python, Task, Thread
from sample_waits import Scene, frame


def judge(scene: Scene) -> list[str]:
    return [finding.code for finding in diagnose(scene.report)]


def worker_of_a_pool(sharers: list[int] | None) -> tuple[Scene, Object]:
    """A process that a pool has forked, and that waits for its turn to get from the queue."""
    scene = Scene(forked=True)
    lock = scene.lock("rlock", "process_lock", shared="1:2+0x0", sharers=sharers)
    scene.waits(scene.thread("MainThread", 1, frame("multiprocessing.queues", "get")), lock)
    return scene, lock


@pytest.mark.parametrize("sharers", [None, [8], [8, 9]])
def test_a_lock_of_processes_may_be_held_by_one_that_was_not_read(sharers: list[int] | None) -> None:
    scene, _ = worker_of_a_pool(sharers)
    assert judge(scene) == ["healthy"]
    scene.report.threads[0].stack.pop()  # it is no queue that it waits for
    assert judge(scene) == []


def test_a_lock_of_processes_that_nobody_else_has_is_orphaned() -> None:
    scene, _ = worker_of_a_pool([])
    assert judge(scene) == ["fork-held-lock"]


def test_a_lock_of_processes_that_another_holds_leads_to_that_one() -> None:
    scene, lock = worker_of_a_pool([])
    holder = scene.thread("holder")
    scene.waits(holder, None, "io", serves=True, call="read")
    scene.report.edges.append(Edge(origin=holder.id, to=lock.id, kind="holds", certainty="likely"))
    assert "fork-held-lock" not in judge(scene)


def workers_of_a_queue() -> tuple[Scene, Thread]:
    """Two threads, as the processes of a pool: one has its turn to get, and the other waits for its own."""
    scene, inside = Scene(), frame("multiprocessing.queues", "get")
    lock = scene.lock("Queue._rlock", "process_lock", shared="1:2+0x0", sharers=[8, 9])
    gets = scene.thread("gets", 1, inside)
    scene.waits(gets, None, "io", serves=True, detail="reads from fd 3, a pipe", call="read")
    scene.waits(scene.thread("MainThread", 1, inside), lock)
    scene.holds(gets, lock)
    return scene, gets


def test_workers_that_wait_for_their_turn_to_get_from_a_queue() -> None:
    scene, gets = workers_of_a_queue()
    assert judge(scene) == ["healthy"]
    gets.stack.pop()  # it reads something else with the lock in its hands
    assert judge(scene) == ["waits-on-holder"]


def supervisor(**wait: object) -> list[Finding]:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, "process", call="wait4", pid=8, **wait)
    return diagnose(scene.report)


def test_a_supervisor_of_a_server_is_healthy() -> None:
    assert [one.code for one in supervisor(serves=True)] == ["healthy"]
    assert [one.code for one in supervisor()] == ["waits-for-process"]


@pytest.mark.parametrize("call", ["pause", "rt_sigsuspend", "rt_sigtimedwait"])
def test_who_waits_for_a_signal(call: str) -> None:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, "unknown", detail="waits for any signal", call=call)
    (finding,) = diagnose(scene.report)
    assert (finding.code, finding.title.partition(": ")[2]) == ("healthy", "MainThread waits for any signal")


def test_who_waits_for_what_nobody_knows_is_not_called_healthy() -> None:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, "unknown", detail="waits in io_getevents", call="io_getevents")
    assert judge(scene) == []


@pytest.mark.parametrize(
    ("call", "detail", "said"),
    [
        ("read", "reads from fd 3, a pipe", "reads from fd 3, a pipe"),
        ("poll", "poll, to read: fd 3", "waits in poll, to read: fd 3"),
        ("epoll_wait", "epoll_wait on fd 3", "waits in epoll_wait on fd 3"),
    ],
)
def test_the_first_line_has_a_verb(call: str, detail: str, said: str) -> None:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, "io", detail=detail, call=call, serves=True)
    assert [one.title.partition(": ")[2] for one in diagnose(scene.report)] == [f"MainThread {said}"]


def test_the_main_thread_of_a_daemon_waits_for_a_signals_handler() -> None:
    scene = Scene(signals_caught=["SIGINT", "SIGTERM"], signals_handled=["SIGINT", "SIGTERM"])
    main = scene.thread("MainThread")
    scene.waits(main, scene.lock("stop", "event", locked=None), "event")
    assert judge(scene) == ["healthy"]
    scene.process.signals_handled = ["SIGINT"]
    assert "healthy" not in judge(scene)
    scene.process.signals_handled = ["SIGTERM"]
    main.waits_for.kind = "queue"  # type: ignore[union-attr]
    assert "healthy" not in judge(scene)


def test_a_child_that_is_no_python_is_not_judged() -> None:
    scene = Scene(python=Python())
    scene.waits(scene.thread("MainThread"), None, "sleep", has_timeout=True)
    scene.report.processes.append(Process(id="process-8", pid=8, ppid=7))
    scene.report.moments.append(Moment(id="m-8", process="process-8", reason="attach", capture=Capture(method="test")))
    child = Thread(id="t-cat", moment="m-8", name="cat", state="sleeping", idle_s=60.0)
    scene.report.threads.append(child)
    assert judge(scene) == ["healthy"]
    scene.report.processes[1].python = Python()  # its main thread is missing
    assert judge(scene) == []


def test_of_an_event_loop_it_is_told_for_how_many_tasks_it_waits() -> None:
    scene = Scene()
    main = scene.thread("MainThread")
    scene.waits(main, None, "io", detail="epoll_wait on fd 3", call="epoll_wait", serves=True)
    loop = Loop(id="loop", moment="moment-1", thread=main.id, ready=0, scheduled=2)
    scene.report.loops.append(loop)
    scene.report.tasks.append(Task(id="task", moment="moment-1", loop="loop", state="waiting"))
    (finding,) = diagnose(scene.report)
    assert finding.title.endswith(
        "the event loop of MainThread waits, with 1 task and 2 timers: it waits in epoll_wait on fd 3"
    )
    assert [one.id for one in finding.subjects] == [main.id]
    loop.thread = None  # it is another thread's
    assert diagnose(scene.report)[0].title.endswith("tell: MainThread waits in epoll_wait on fd 3")


def test_who_ran_a_moment_ago_goes_on() -> None:
    scene = Scene()
    main, worker = scene.thread("MainThread", idle_s=0.1), scene.thread("worker")
    scene.waits(main, scene.lock("done", "event", locked=None))
    scene.waits(worker, None, "io", serves=True, call="read")
    assert judge(scene) == ["healthy"]
    main.idle_s = 60.0
    assert judge(scene) == []
    main.idle_s = None  # the kernel keeps no account
    assert judge(scene) == []


def test_of_a_thread_that_runs_parts_of_the_stack_may_be_missing() -> None:
    scene = Scene()
    main = scene.thread("MainThread", error="8 bytes at 0x10 cannot be read: not captured", state="running")
    assert judge(scene) == ["healthy"]
    main.state = "sleeping"
    assert judge(scene) == []


def test_an_import_that_somebody_else_is_in_the_middle_of() -> None:
    scene = Scene()
    main, loader, lock = scene.thread("MainThread"), scene.thread("loader"), scene.lock("m", "module_lock")
    scene.waits(main, lock)
    scene.holds(loader, lock)
    assert "import-deadlock" not in judge(scene)
    scene.waits(loader, main)
    assert "import-deadlock" in judge(scene)


def exits() -> list[tuple[str, Scene]]:
    """What each exit-* code is about."""
    places = {
        "exit-waits-for-executor": frame("concurrent.futures.thread", "_python_exit"),
        "exit-waits-for-thread": frame("threading", "_shutdown"),
        "exit-waits-for-process": frame("multiprocessing.util", "_exit_function"),
    }
    found = []
    for code, place in places.items():
        scene = Scene()
        main, worker = scene.thread("MainThread", 1, place), scene.thread("worker")
        if code == "exit-waits-for-process":
            scene.waits(main, None, "process", call="wait4")
        else:
            scene.waits(main, worker)
            scene.waits(worker, scene.lock("jobs", "queue"))
        found.append((code, scene))
    scene = Scene()
    scene.waits(scene.thread("MainThread"), scene.lock("jobs", "queue"))
    return [*found, ("exit-callback-blocked", scene)]


@pytest.mark.parametrize(("code", "scene"), exits())
def test_who_waits_so_before_the_exit(code: str, scene: Scene) -> None:
    assert code not in judge(scene)
    scene.leaves("threading._shutdown" if code == "exit-waits-for-thread" else "atexit")
    assert code in judge(scene)


def test_a_child_that_has_ended_or_just_begun_changes_nothing() -> None:
    """Of a process of a tree that is gone when its turn comes there is a moment, and nobody in it."""
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, "sleep", has_timeout=True)
    ended = Moment(id="moment-2", process="process-8", reason="attach", capture=Capture(method="test"))
    scene.report.moments.append(ended)
    assert judge(scene) == ["healthy"]
    child = scene.thread("sh", moment="moment-2")  # it is there, and nobody knows what it does
    assert judge(scene) == []
    child.idle_s = 0.1  # as one that has just been started
    assert judge(scene) == ["healthy"]
