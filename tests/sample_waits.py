"""Reports of threads that wait for each other, as `attach` writes them: what diagnoses of hangs are tested with."""

# ruff: noqa: ANN401 - fields of the model's structs, handed on
from __future__ import annotations

from typing import Any

from lastwords.model import (
    Capture,
    Certainty,
    Edge,
    Frame,
    Gil,
    Greenlet,
    Hub,
    Moment,
    Object,
    Process,
    Python,
    Report,
    Sample,
    Shutdown,
    Task,
    Thread,
    Tool,
    WaitsFor,
)

APP = "/srv/app.py"


class Scene:
    """One process at one moment; threads and locks are added by name, and called by it."""

    def __init__(self, **process: Any) -> None:
        known: dict[str, Any] = {"signals_caught": ["SIGINT"], "forked": False, "python": Python(version="3.11.7")}
        self.process = Process(id="process-7", pid=7, ppid=1, argv=["python", "app.py"], **known | process)
        self.moment = Moment(id="moment-1", process="process-7", reason="attach", capture=Capture(method="test"))
        self.report = Report(
            tool=Tool(version="0"),
            mode="attach",
            captured_at="2026-01-01T00:00:00+00:00",
            processes=[self.process],
            moments=[self.moment],
        )

    def thread(self, name: str, line: int = 1, *outer: Frame, **fields: Any) -> Thread:
        """A thread that stands at this line of the program, and has slept for a minute."""
        at = Frame(kind="python", function=name, module="__main__", file=APP, line=line, source=f"line {line}")
        known: dict[str, Any] = {
            "id": f"t-{name}", "moment": "moment-1", "consistent": True, "idle_s": 60.0, "state": "sleeping",
            "interpreter": 0, **fields,
        }  # fmt: skip
        one = Thread(name=name, is_main=name == "MainThread", stack=[at, *outer], **known)
        self.report.threads.append(one)
        return one

    def lock(self, name: str, kind: str = "lock", **fields: Any) -> Object:
        """A lock that is taken."""
        known: dict[str, Any] = {"locked": True, "address": 0x7F00, "moment": "moment-1", **fields}
        one = Object(id=f"o-{name}", kind=kind, name=name, **known)
        self.report.objects.append(one)
        return one

    def waits(self, thread: Thread | Greenlet, target: Thread | Object | None, kind: Any = None, **fields: Any) -> None:
        """The thread waits for another's end, for a lock, or for nothing that has a place in the report."""
        kinds = {"module_lock": "import_lock", "rlock": "lock", "process_lock": "lock", "semaphore": "lock"}
        if kind is None:
            kind = "join" if isinstance(target, Thread) else kinds.get(target.kind, target.kind) if target else "io"
        thread.waits_for = WaitsFor(kind=kind, target=target.id if target else None, **fields)
        if target is not None:
            certainty = thread.waits_for.certainty
            self.report.edges.append(Edge(origin=thread.id, to=target.id, kind="waits", certainty=certainty))

    def holds(self, thread: Thread, lock: Object, line: int = 1, certainty: Certainty = "certain") -> None:
        """The thread took the lock in this line."""
        at = Frame(kind="python", file=APP, line=line)
        edge = Edge(
            origin=thread.id, to=lock.id, kind="holds", certainty=certainty, evidence=f"`with {lock.name}`", at=at
        )
        self.report.edges.append(edge)
        thread.holds.append(lock.id)

    def leaves(self, step: Any = "threading._shutdown") -> None:
        """The interpreter is on its way out."""
        self.moment.shutdown = Shutdown(phase="shutdown", step=step)

    def gil(self, holder: Thread, *waiters: Thread) -> None:
        """Who has the GIL, and who wants it."""
        self.moment.gil = Gil(holder=holder.id, waiters=[one.id for one in waiters])


def frame(module: str, function: str) -> Frame:
    """A frame of a library."""
    return Frame(kind="python", module=module, function=function, file=f"/usr/lib/{module}.py", line=1)


def every_hang() -> list[Report]:
    """Reports of hangs: each code that is about waits is in one of them."""
    scenes = (
        _cycle,
        _imports,
        _orphan,
        _fork,
        _held,
        _gil,
        _thread,
        _pool,
        _child,
        _atexit,
        _io,
        _wait,
        _loop,
        _starved,
        _hub,
        _native,
        livelock,
        _await_cycle,
        _lost_wakeup,
        _unfinished,
        _pause,
    )
    return [build().report for build in scenes]


def _cycle() -> Scene:
    scene = Scene()
    main, lock = scene.thread("MainThread"), scene.lock("lock")
    scene.holds(main, lock)
    scene.waits(main, lock)
    return scene


def _imports() -> Scene:
    scene = Scene()
    main, lock = scene.thread("MainThread"), scene.lock("m", "module_lock")
    scene.holds(main, lock)
    scene.waits(main, lock)
    return scene


def _orphan(**process: Any) -> Scene:
    scene = Scene(**process)
    scene.waits(scene.thread("MainThread"), scene.lock("lock", "rlock", owner_ident=0xDEAD))
    return scene


def _fork() -> Scene:
    return _orphan(forked=True)


def _held() -> Scene:
    scene = Scene()
    worker, lock = scene.thread("worker"), scene.lock("lock")
    scene.waits(scene.thread("MainThread"), lock)
    scene.holds(worker, lock)
    scene.waits(worker, None)
    return scene


def _gil() -> Scene:
    scene = Scene()
    main, other = scene.thread("MainThread"), scene.thread("other")
    scene.waits(main, None, "sleep", call="clock_nanosleep")
    scene.waits(other, None, "gil")
    scene.gil(main, other)
    return scene


def _thread(*outer: Frame) -> Scene:
    scene = Scene()
    worker = scene.thread("worker")
    scene.waits(scene.thread("MainThread", 1, *outer), worker)
    scene.waits(worker, scene.lock("jobs", "queue"))
    scene.leaves()
    return scene


def _pool() -> Scene:
    return _thread(frame("concurrent.futures.thread", "_python_exit"))


def _child() -> Scene:
    scene = Scene()
    main = scene.thread("MainThread", 1, frame("multiprocessing.util", "_exit_function"))
    scene.waits(main, None, "process", call="wait4")
    scene.leaves("atexit")
    return scene


def _atexit() -> Scene:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), scene.lock("jobs", "queue"))
    scene.leaves("atexit")
    return scene


def _io() -> Scene:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, serves=False, call="recvfrom")
    return scene


def _wait() -> Scene:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, "process", call="wait4")
    return scene


def _loop() -> Scene:
    scene = Scene()
    loop = [frame("asyncio.events", "_run"), frame("asyncio.base_events", "_run_once")]
    scene.waits(scene.thread("MainThread", 1, *loop), None, "sleep")
    return scene


def _starved() -> Scene:
    scene = Scene()
    worker, future = scene.thread("worker"), scene.lock("future", "future", locked=None)
    scene.waits(worker, future, "condition")
    scene.report.objects.append(Object(id="pool", moment="moment-1", kind="pool", type="ThreadPoolExecutor"))
    for origin, to in ((worker.id, "pool"), ("pool", future.id)):
        scene.report.edges.append(Edge(origin=origin, to=to, kind="references", certainty="certain"))
    return scene


def _hub() -> Scene:
    scene = Scene()
    main = scene.thread("MainThread", greenlet="g-runs")
    scene.report.hubs.append(Hub(id="hub", moment="moment-1", thread=main.id, greenlet="g-hub"))
    scene.report.greenlets += [
        Greenlet(id="g-runs", moment="moment-1", thread=main.id, state="running", parent="g-hub"),
        Greenlet(id="g-waits", moment="moment-1", thread=main.id, state="suspended", parent="g-hub"),
    ]
    scene.waits(main, None, "sleep", call="clock_nanosleep")
    return scene


def _native() -> Scene:
    scene = _hub()
    scene.waits(scene.report.threads[0], scene.lock("guard"))
    return scene


def livelock() -> Scene:
    """A thread that tries for the lock of the one that joins it."""
    scene = Scene()
    main, visitor = scene.thread("MainThread", 13), scene.thread("visitor", 8, state="running")
    door, at = scene.lock("door"), Frame(kind="python", file=APP, line=8)
    scene.waits(main, visitor)
    said = "tries to take it; it was taken in each of 5 looks"
    scene.report.edges.append(
        Edge(origin=visitor.id, to=door.id, kind="references", certainty="likely", evidence=said, at=at)
    )
    scene.report.samples = [Sample(moment="moment-1", thread=visitor.id) for _ in range(5)]
    return scene


def _await_cycle() -> Scene:
    scene = Scene()
    for name, other in (("task-1", "task-2"), ("task-2", "task-1")):
        wait = WaitsFor(kind="join", target=other)
        scene.report.tasks.append(Task(id=name, moment="moment-1", name=name, waits_for=wait))
        scene.report.edges.append(Edge(origin=name, to=other, kind="waits", certainty="certain"))
    return scene


def _lost_wakeup() -> Scene:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), scene.lock("done", "event", locked=None, count=1))
    return scene


def _unfinished() -> Scene:
    scene = Scene()
    jobs = scene.lock("jobs", "queue", locked=None, count=0, unfinished=1)
    scene.waits(scene.thread("MainThread"), jobs, function="join")
    return scene


def _pause() -> Scene:
    scene = Scene(signals_caught=["SIGTERM"])
    main = scene.thread("MainThread", signals_blocked=["SIGTERM"])
    scene.waits(main, None, "unknown", call="pause")
    return scene
