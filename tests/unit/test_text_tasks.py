"""asyncio tasks as text: loops, then groups, the largest first."""

from __future__ import annotations

import sample_reports as sample
from lastwords.model import Capture as Captured
from lastwords.model import Edge, Loop, Moment, Object, Report, Task, Thread, WaitsFor
from lastwords.report.layout import Page
from lastwords.report.parts import PARTS
from lastwords.report.tasks import format_tasks
from lastwords.report.threads import describe_wait

PAGE = Page(width=100)


def task(number: int, **more: object) -> Task:
    settings: dict[str, object] = {
        "id": f"task-{number}",
        "moment": "moment-1",
        "address": 0x7F00_0000_0000 + number,
        "type": "_asyncio.Task",
        "name": f"Task-{number}",
        "state": "waiting",
        "loop": "loop-1",
        "stack": [sample.python("read", "app.py", 7, "await queue.get()"), sample.python("serve", "app.py", 12)],
        "waits_for": WaitsFor(kind="unknown", detail="awaits a future (_asyncio.Future)"),
    }
    return Task(**(settings | more))  # type: ignore[arg-type]


def report(*tasks: Task, loop: Loop | None = None) -> Report:
    moment = Moment(id="moment-1", process="process-1", reason="attach", capture=Captured(method="by hand"))
    made = sample.report(moments=[moment], threads=[Thread(id="thread-1", moment="moment-1", tid=1, name="MainThread")])
    made.tasks = [*tasks]
    made.loops = [loop] if loop else []
    return made


def lines(made: Report, page: Page = PAGE) -> list[str]:
    return list(format_tasks(page, made, made.moments[0], guilty={}))


def test_nothing_without_tasks() -> None:
    assert lines(report()) == []


def test_what_runs_comes_first_and_those_that_are_alike_are_told_once() -> None:
    alike = [task(number) for number in range(1, 7)]
    runs = task(7, state="running", thread="thread-1", waits_for=None)
    loop = Loop(
        id="loop-1", moment="moment-1", type="asyncio.unix_events._UnixSelectorEventLoop", thread="thread-1",
        task="task-7", ready=3, scheduled=5, overdue=2, overdue_s=4.04,
    )  # fmt: skip
    new = task(8, state="unstarted", stack=[], waits_for=None, cancelling=True)
    assert lines(report(*alike, new, runs, loop=loop)) == [
        "",
        "asyncio tasks: 8 (1 running, 6 waiting, 1 not started)",
        "  _UnixSelectorEventLoop in MainThread: runs Task-7, callbacks to call now: 3, timers: 5, overdue:",
        "    2; the first is 4.0 s late",
        "",
        "Task: Task-7, running",
        "  in MainThread",
        "  its stack is the inner end of that of its thread, above",
        "",
        "6 tasks like this, waiting: Task-1, Task-2, Task-3, Task-4 and 2 more (--all shows each)",
        "  awaits a future (_asyncio.Future)",
        '    File "app.py", line 12, in serve',
        '    File "app.py", line 7, in read',
        "      await queue.get()",
        "",
        "Task: Task-8, not started, asked to end (cancel)",
    ]


def test_each_by_itself_where_that_is_asked_for() -> None:
    alike = [task(number) for number in range(1, 4)]
    shown = lines(report(*alike), Page(width=100, each=True))
    assert [line for line in shown if line.startswith("Task")] == [f"Task: Task-{n}, waiting" for n in range(1, 4)]


def test_whom_a_task_waits_for_and_who_has_it() -> None:
    lock = Object(id="lock-1", moment="moment-1", kind="lock", name="db", address=0x7F10, locked=True)
    waits = task(1, name=None, waits_for=WaitsFor(kind="lock", target="lock-1", detail="asyncio.Lock.acquire"))
    holds = task(2, holds=["lock-1"], waits_for=WaitsFor(kind="join", target="task-1", detail="awaits a task"))
    holds.waits_for.has_timeout = True  # type: ignore[union-attr]
    made = report(waits, holds)
    made.objects.append(lock)
    made.edges.append(Edge(origin="task-2", to="lock-1", kind="holds", certainty="likely"))
    shown = lines(made)
    assert "Task: a task at 0x7f0000000001, waiting" in shown
    assert "  asyncio.Lock.acquire: lock db at 0x7f10, held by Task-2" in shown
    assert "  awaits a task: a task at 0x7f0000000001, with a timeout" in shown
    assert "  holds lock db at 0x7f10" in shown


def test_what_could_not_be_read_is_said() -> None:
    loop = Loop(id="loop-1", moment="moment-1", type="uvloop.Loop", error="not there")
    shown = lines(report(task(1, error="8 bytes at 0x1: not an address"), loop=loop))
    assert "  Loop which does not run: not all of it could be read: not there" in shown
    assert "  not all of it could be read: 8 bytes at 0x1: not an address" in shown


def test_names_of_the_program_are_escaped() -> None:
    assert "Task: evil\\x1b[31m, waiting" in lines(report(task(1, name="evil\x1b[31m")))


def test_a_lock_that_a_thread_waits_for_is_a_tasks_by_its_name() -> None:
    lock = Object(id="lock", moment="moment-1", kind="lock", type="_thread.lock", name="guard", address=0x500)
    for holder, says in ((task(2), "Task-2"), (task(2, name=None), "task at 0x7f0000000002")):
        made = report(holder)
        [thread], made.objects = made.threads, [lock]
        thread.waits_for = WaitsFor(kind="lock", target=lock.id, certainty="certain", detail="lock")
        made.edges = [Edge(origin=holder.id, to=lock.id, kind="holds", certainty="certain")]
        assert describe_wait(made, thread) == f"waits for the lock guard at 0x500, held by {says} (certain)"
        assert f"  held by {says} (certain)" in list(PARTS["locks"](made, PAGE, None))
