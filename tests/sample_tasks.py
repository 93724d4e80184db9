"""Reports with asyncio's tasks and loops, for the tests of findings about them."""

# ruff: noqa: ANN401 - fields of the model's structs, handed on
from __future__ import annotations

from typing import Any

from lastwords.model import Certainty, Edge, Frame, Loop, Object, Task, Thread, WaitsFor
from sample_waits import APP, Scene, frame


class TaskScene(Scene):
    """One process with tasks; they are added by name, and called by it."""

    def task(self, name: str, line: int = 1, **fields: Any) -> Task:
        """A task that stands at this line of the program."""
        at = Frame(kind="python", function=name, module="__main__", file=APP, line=line, source=f"await line {line}")
        known: dict[str, Any] = {
            "id": f"task-{name}",
            "moment": "moment-1",
            "state": "waiting",
            "stack": [at],
            **fields,
        }
        one = Task(name=name, **known)
        self.report.tasks.append(one)
        return one

    def awaits(
        self, task: Task, *targets: Task | Object, certainty: Certainty = "certain", timeout: bool = False
    ) -> None:
        """The task waits for all of these."""
        alone = targets[0].id if len(targets) == 1 else None
        kind: Any = "join" if not targets or isinstance(targets[0], Task) else "lock"
        task.waits_for = WaitsFor(kind=kind, target=alone, certainty=certainty, has_timeout=timeout, detail="awaits")
        for target in targets:
            self.report.edges.append(Edge(origin=task.id, to=target.id, kind="waits", certainty=certainty))

    def has(self, task: Task, lock: Object, certainty: Certainty = "likely") -> None:
        """The task is in an `async with` block of the lock."""
        task.holds.append(lock.id)
        self.report.edges.append(Edge(origin=task.id, to=lock.id, kind="holds", certainty=certainty))

    def loop(self, thread: Thread, task: Task | None = None, **fields: Any) -> Loop:
        """An event loop that runs in the thread, and the task that runs there."""
        one = Loop(
            id=f"loop-{thread.name}", moment="moment-1", thread=thread.id, task=task.id if task else None, **fields
        )
        if task is not None:
            task.state, task.thread, task.loop = "running", thread.id, one.id
        self.report.loops.append(one)
        return one


def alone(pid: int | None = 7, **process: Any) -> TaskScene:
    """A loop that watches only what its own process wakes it by, and two tasks of it; the second runs nothing."""
    scene = TaskScene(**process)
    main = scene.thread("MainThread", 20, frame("asyncio.runners", "run"))
    scene.waits(main, None, detail="epoll_wait on fd 3", call="epoll_wait", pid=pid, serves=True)
    loop = scene.loop(main, ready=0, scheduled=0)
    serve, work = scene.task("serve", 15, loop=loop.id), scene.task("work", 8, loop=loop.id)
    scene.awaits(serve, work)
    scene.awaits(work, scene.lock("letters", "queue"))
    return scene
