"""All asyncio tasks of a process, against what the process says of them from inside."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deep.damage import WORD, Damaged, Recorder
from dumps import gdb_core
from environments import Environment
from harness import TARGETS, Target, running, wait_until_at_rest
from interpreters import Interpreter
from lastwords.asyncio_tasks import classes
from lastwords.capture import procfs
from lastwords.capture.architectures import this_machine
from lastwords.capture.captured import Captured
from lastwords.capture.memory import PAGE, CachedMemory, ReadError, open_process_memory
from lastwords.capture.snapshot.write import write_snapshot
from lastwords.capture.stop.live import read_kernel_threads
from lastwords.cpython.interpreter import find_image, open_image
from lastwords.cpython.layouts import Layout
from lastwords.cpython.threads import read_threads
from lastwords.diagnose import diagnose
from lastwords.errors import TargetError
from lastwords.examine import Options, attach_process
from lastwords.examine.core import read_core_report
from lastwords.examine.describe import new_moment, new_report
from lastwords.examine.entities import Entities
from lastwords.examine.read import Source
from lastwords.examine.snapshot import take_snapshot
from lastwords.examine.tasks import add_tasks
from lastwords.model import Report, Task

Facts = dict[str, Any]
CASES = int(os.environ.get("LASTWORDS_CASES", "8"))  # make test-deep: more; the addresses are others each time
SECONDS = 3.0  # of processor time for one case
SEED = 20263
WITHOUT_C = Options(native=False)
SINCE_37 = tuple(f"3.{minor}" for minor in range(7, 16))
pytestmark = pytest.mark.interpreters("!free_threaded", minors=SINCE_37)

# What a task of the target waits for: (kind, in which words, whether that ends by itself, whom or what).
WAITS: dict[str, tuple[str, str, bool, str]] = {
    "nested": ("unknown", "awaits a future", False, ""),
    "executor": ("condition", "work that thread ", False, "future"),
    "sleep": ("sleep", "asyncio.sleep", True, ""),
    "other": ("sleep", "asyncio.sleep", True, ""),
    "wait_for-ever": ("join", "awaits a task", False, "nested"),
    "event": ("event", "asyncio.Event.wait", False, "event"),
    "cancelling": ("event", "asyncio.Event.wait", False, "event"),
    "lock-waiter": ("lock", "asyncio.Lock.acquire", False, "lock"),
    "lock-acquire": ("lock", "asyncio.Lock.acquire", False, "lock"),
    "cycle-1": ("lock", "asyncio.Lock.acquire", False, "lock"),
    "queue-get": ("queue", "asyncio.Queue.get", False, "queue"),
    "queue-put": ("queue", "asyncio.Queue.put", False, "queue"),
    "queue-join": ("queue", "asyncio.Queue.join", False, "queue"),
    "semaphore": ("lock", "asyncio.Semaphore.acquire", False, "semaphore"),
    "condition": ("condition", "asyncio.Condition.wait", False, "condition"),
    "gather": ("join", "asyncio.gather: 2 tasks not done", False, ""),
    "wait-all": ("join", "asyncio.wait: 2 tasks not done", False, ""),
    "wait-first": ("join", "asyncio.wait: 2 tasks not done", False, ""),
    "group": ("join", "asyncio.TaskGroup: 2 tasks not done", False, ""),
    "timeout": ("unknown", "awaits a future", True, ""),
    "stream": ("io", "asyncio.StreamReader._wait_for_data", False, ""),
    "task": ("join", "awaits a task", False, "nested"),
    "await-1": ("join", "awaits a task", False, "await-2"),
    "await-2": ("join", "awaits a task", False, "await-1"),
}
STATES = {"main": "running", "ready": "ready", "unstarted": "unstarted", "done": "unstarted"}


def start(target: Target) -> Facts:
    facts: Facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
    target.wait_for("ready")
    wait_until_at_rest(target.pid)
    return facts


@pytest.fixture
def told(interpreter: Interpreter, start_target: Callable[..., Target], request: pytest.FixtureRequest) -> Facts:
    """A program with tasks of every kind: what it says of them."""
    return start(start_target(interpreter, "tasks_known.py", getattr(request, "param", "c"), ready=""))


def by_key(report: Report, facts: Facts) -> dict[str, Task]:
    """The tasks that were found, by what the target calls them."""
    keys = {one["address"]: one["key"] for one in facts["tasks"]}
    return {keys[one.address]: one for one in report.tasks if one.address in keys}


def compare(report: Report, facts: Facts) -> list[str]:
    """What differs from what the program says itself."""
    found = {one.address: one for one in report.tasks}
    wrong = []
    for one in facts["tasks"]:
        task = found.get(one["address"])
        if task is None:
            wrong.append(f"{one['key']}: not found")
            continue
        if (task.name, task.cancelling) != (one["name"], one["cancelling"]):
            wrong.append(f"{one['key']}: called {task.name}, cancelling: {task.cancelling}")
        stack = [[frame.function, frame.line] for frame in task.stack if frame.kind == "python"]
        if one["current"]:  # it goes on between what it says and what we see
            stack, one["stack"] = [stack[-1][:1]], [[one["outer"]]]
        if stack != one["stack"]:
            wrong.append(f"{one['key']}: stands at {stack}, not {one['stack']}; {task.error}")
        state = STATES.get(one["key"], "waiting")
        if task.state != state:
            wrong.append(f"{one['key']}: {task.state}, not {state}")
    return wrong


def compare_waits(report: Report, facts: Facts) -> list[str]:
    """What differs from WAITS."""
    tasks, objects = by_key(report, facts), {one.id: one.kind for one in report.objects}
    names = {task.id: key for key, task in tasks.items()} | objects
    wrong = []
    for key, task in tasks.items():
        wait = task.waits_for
        if key in WAITS:
            has_pool = any(one.kind == "pool" for one in report.objects)  # gdb's core may lack its worker's stack
            kind, words, timeout, target = WAITS["nested" if key == "executor" and not has_pool else key]
            if wait is None or (wait.kind, wait.has_timeout) != (kind, timeout):
                wrong.append(f"{key}: {wait}")
            elif not (wait.detail or "").startswith(words) or names.get(wait.target or "", "") != target:
                wrong.append(f"{key}: {wait.detail} {names.get(wait.target or '')}")
        elif key in STATES and wait is not None:
            wrong.append(f"{key}: {wait}")
        elif wait is not None and not wait.has_timeout and key.startswith("wait_for-"):
            wrong.append(f"{key}: has a timeout")
    return wrong


def edges(report: Report, facts: Facts, kind: str) -> set[tuple[str, str]]:
    """(who, whom or which kind of object) of all edges of this kind."""
    names = {task.id: key for key, task in by_key(report, facts).items()}
    objects = {one.id: one.kind for one in report.objects}
    return {
        (names[edge.origin], names.get(edge.to) or objects.get(edge.to, ""))
        for edge in report.edges
        if edge.kind == kind and edge.origin in names
    }


def test_every_task_is_as_it_says_itself(told: Facts) -> None:
    report = attach_process(told["pid"], WITHOUT_C)
    tasks = by_key(report, told)
    assert report.moments[0].capture.problems == []
    assert compare(report, told) == []
    assert compare_waits(report, told) == []
    assert len(tasks) > 35
    assert edges(report, told, "holds") == {("lock-holder", "lock"), ("cycle-1", "lock"), ("cycle-2", "lock")}
    waits = edges(report, told, "waits")
    assert {("gather", "nested"), ("gather", "event"), ("wait-all", "nested"), ("wait-all", "event")} <= waits
    assert not any(who == "wait-first" for who, _ in waits)
    check_loops(report, tasks)
    check_findings(report, tasks)
    check_names(told["pid"])


def check_loops(report: Report, tasks: dict[str, Task]) -> None:
    threads = {one.id: one for one in report.threads}
    loops = {one.id: one for one in report.loops}
    ours, theirs = loops[tasks["main"].loop or ""], loops[tasks["other"].loop or ""]
    assert len(loops) == 2
    assert [threads[one.thread or ""].is_main for one in (ours, theirs)] == [True, False]
    assert (ours.task, theirs.task) == (tasks["main"].id, None)
    assert tasks["main"].thread == ours.thread
    assert (ours.ready, theirs.ready, theirs.scheduled, theirs.overdue) == (3, 0, 1, 0)
    assert ours.overdue == 1
    assert ours.overdue_s is not None
    assert 1000 < ours.overdue_s < 2000
    until = tasks["sleep"].waits_for.until if tasks["sleep"].waits_for else None
    assert until is not None
    assert 900 < until - time.time() < 1000


def check_names(pid: int) -> None:
    """A name that a release does not have is a name that we misspell."""
    image = find_image(pid, procfs.read_maps(pid))
    interp = open_image(pid, CachedMemory(open_process_memory(pid)), image)
    (asyncio,) = classes.find_asyncio(interp)
    names = {one.name for one in asyncio.functions.values()}
    missing = {name for names in classes.FUNCTIONS.values() for name in names} - names
    since = {"Barrier.wait": "3.11", "TaskGroup.__aexit__": "3.11", "to_thread": "3.9"}
    minor = [int(part) for part in interp.layout.release.split(".")]
    assert missing == {name for name, first in since.items() if minor < [int(part) for part in first.split(".")]}


def check_findings(report: Report, tasks: dict[str, Task]) -> None:
    found = [one for one in diagnose(report) if one.code in ("await-cycle", "lock-cycle")]
    cycles = [(one.code, one.certainty, {subject.id for subject in one.subjects}) for one in found]
    locks = {held for key in ("cycle-1", "cycle-2") for held in tasks[key].holds}
    assert cycles == [
        ("await-cycle", "certain", {tasks["await-1"].id, tasks["await-2"].id}),
        ("await-cycle", "likely", {tasks["cycle-1"].id, tasks["cycle-2"].id, *locks}),
    ]


@pytest.mark.interpreters(minors=("3.7", "3.11", "3.13", "3.15"))
@pytest.mark.parametrize("told", ["python"], indirect=True)
def test_tasks_made_in_python(told: Facts) -> None:
    report = attach_process(told["pid"], WITHOUT_C)
    found = by_key(report, told)
    assert {one.type for key, one in found.items() if key != "other"} == {"asyncio.tasks.Task"}
    assert compare(report, told) == []
    assert compare_waits(report, told) == []


@pytest.mark.interpreters(minors=("3.12", "3.13", "3.15"))
@pytest.mark.parametrize("told", ["eager"], indirect=True)
def test_eager_tasks(told: Facts) -> None:
    report = attach_process(told["pid"], WITHOUT_C)
    assert compare(report, told) == []
    assert compare_waits(report, told) == []


@pytest.mark.interpreters(minors=("3.8", "3.11", "3.14"))
def test_cores_and_snapshots_have_the_same_tasks(told: Facts, tmp_path: Path) -> None:
    core, snapshot = gdb_core(told["pid"], tmp_path / "core"), tmp_path / "snapshot"
    taken = take_snapshot(told["pid"], WITHOUT_C)
    with snapshot.open("wb") as file:
        write_snapshot(taken.captured, taken.owner, taken.note, file)
    for path in (core, snapshot):
        report = read_core_report(path, None, WITHOUT_C)
        assert compare(report, told) == []
        assert compare_waits(report, told) == []
        assert [one.overdue for one in report.loops] == [None, None]  # nothing tells what time it was


@pytest.mark.interpreters(minors=("3.12",))
def test_a_reader_that_is_wrong_is_found_out(told: Facts) -> None:
    report = attach_process(told["pid"], WITHOUT_C)
    tasks = by_key(report, told)
    tasks["nested"].stack[0].line = -1
    tasks["event"].name = "another"
    tasks["sleep"].state = "ready"
    report.tasks.remove(tasks["queue-get"])
    wait = tasks["task"].waits_for
    assert wait is not None
    wait.target = None
    tasks["await-1"].waits_for = None
    found = "\n".join(compare(report, told) + compare_waits(report, told))
    for what in ("nested: stands", "event: called", "sleep: ready", "queue-get: not found", "task: awaits", "await-1:"):
        assert what in found, found


@pytest.mark.interpreters(minors=("3.12",))
def test_an_asyncio_that_fits_no_layout_is_said(told: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    size = Layout.size
    monkeypatch.setattr(Layout, "size", lambda self, name: size(self, name) + 8 * (name == "TaskObj"))
    report = attach_process(told["pid"], WITHOUT_C)
    assert report.tasks == []
    assert report.moments[0].capture.problems == [
        "asyncio's tasks: asyncio's Task has 176 bytes, not 184 as in CPython 3.12.1: its tasks are not told"
    ]
    assert report.threads[0].stack


@pytest.mark.interpreters(minors=("3.12",))
def test_as_many_as_are_read_at_most(told: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lastwords.asyncio_tasks.all.TASKS_LIMIT", 5)
    report = attach_process(told["pid"], WITHOUT_C)
    assert 0 < len(report.tasks) <= 5
    assert "asyncio's tasks: there are more than 5" in report.moments[0].capture.problems


@pytest.mark.interpreters(minors=("3.8", "3.12", "3.15"))
def test_damaged_memory_ends_in_our_errors_alone(told: Facts) -> None:
    reading = Reading(told["pid"])
    recorder = Recorder(open_process_memory(told["pid"]))
    assert len(reading.read(recorder).tasks) >= len(told["tasks"])
    pages = {at: page for at, page in recorder._pages.items() if page is not None}
    words = sorted(at for at in recorder.words if at & -PAGE in pages)
    outcomes: Counter[str] = Counter()
    for case in range(CASES):
        begun = time.process_time()
        outcomes[read_damaged(reading, damage(pages, words, random.Random(SEED + case)))] += 1
        assert time.process_time() - begun < SECONDS, case
    print(outcomes)
    address = told["tasks"][0]["address"]
    no_type = Damaged(pages, {address + WORD: bytes(WORD)})  # PyObject: the word after the reference count
    assert read_damaged(reading, no_type) != "read", "damage must be told"


class Reading:
    """The tasks of a process that stands still, read again and again from one memory or another."""

    def __init__(self, pid: int) -> None:
        self.pid, self.maps, memory = pid, procfs.read_maps(pid), open_process_memory(pid)
        self.image = find_image(pid, self.maps)
        kernel = read_kernel_threads(pid, procfs.PROC, memory)
        self.threads = read_threads(open_image(pid, CachedMemory(memory), self.image), kernel)

    def read(self, memory: CachedMemory) -> Report:
        captured = Captured(self.pid, memory, self.maps, [], this_machine(), "recorded")
        report, moment = new_report("attach"), new_moment("moment-1", "process-1", "attach", captured)
        report.moments.append(moment)
        entities = Entities(report, moment, self.threads)
        add_tasks(entities, Source(open_image(self.pid, memory, self.image), captured), WITHOUT_C, self.threads)
        diagnose(report)
        return report


def damage(pages: dict[int, bytes], words: list[int], chance: random.Random) -> Damaged:
    """One to twenty words that were read, changed: nothing, noise, or another one of them."""
    changed = {}
    for at in chance.sample(words, chance.randint(1, 20)):
        kinds = (0, chance.getrandbits(64), chance.choice(words), (1 << 64) - 1, chance.getrandbits(8), at)
        changed[at] = chance.choice(kinds).to_bytes(WORD, "little")
    return Damaged(pages, changed)


def read_damaged(reading: Reading, memory: Damaged) -> str:
    """What came of it."""
    try:
        report = reading.read(CachedMemory(memory))
    except (ReadError, TargetError):
        return "refused"
    has_problems = report.moments[0].capture.problems or any(one.error for one in report.tasks)
    return "read with problems" if has_problems else "read"


@pytest.mark.interpreters(minors=("3.8", "3.12", "3.14"))
def test_a_loop_in_a_greenlet_and_a_greenlet_in_a_task(gevent_environment: Environment) -> None:
    command: list[str | Path] = [gevent_environment.python, TARGETS / "tasks_in_greenlets.py"]
    with running(command, env=gevent_environment.env) as target:
        facts = start(target)
        report = attach_process(target.pid, Options())
    found = {one.address: one for one in report.tasks}
    tasks = {key: found[address] for key, address in facts["tasks"].items()}
    assert {key: one.state for key, one in tasks.items()} == {
        "main": "waiting",
        "idle": "waiting",
        "through": "running",
    }
    functions = {key: [frame.function for frame in one.stack] for key, one in tasks.items()}
    assert functions == {"main": ["makes_tasks"], "idle": ["sleep", "idles"], "through": ["through_greenlet"]}
    assert tasks["through"].thread == next(one.id for one in report.threads if one.is_main)
    assert report.moments[0].capture.problems == []
    assert len([one for one in report.greenlets if one.state == "running"]) == 1
