"""Who can wait: the threads, greenlets and tasks of a report, what they are called, and where they stand."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from lastwords.frames import is_patchers
from lastwords.model import Evidence, Frame, Greenlet, Object, Process, Report, Subject, Task, Thread

Actor = Thread | Greenlet | Task

# Top-level modules of CPython 2.7 that have another name since.
OLD_NAMES = frozenset(["Queue", "thread", "dummy_thread", "SocketServer", "BaseHTTPServer", "commands"])
LIBRARY = sys.stdlib_module_names | OLD_NAMES


class Actors:
    """The report's actors and objects by their ids."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.by_id: dict[str, Actor] = {
            one.id: one for group in (report.threads, report.greenlets, report.tasks) for one in group
        }
        self.objects: dict[str, Object] = {one.id: one for one in report.objects}
        self._processes = {one.id: one for one in report.processes}
        self._moments = {one.id: one.process for one in report.moments}
        self._alike: set[str] = set()  # those that need more than their names
        self._names: dict[str, str] = {}  # that were asked for
        self._threads: dict[str, list[Thread]] = {}  # by process
        for thread in report.threads:
            self._threads.setdefault(self._moments.get(thread.moment, ""), []).append(thread)
        self._mains = {process: _find_main(threads) for process, threads in self._threads.items()}

    def name(self, identity: str) -> str:
        """What the program calls it: `worker-1`, `lock __main__.cache_lock`, `process 4711`."""
        if identity not in self._names:
            self._names[identity] = self._make_name(identity)
        return self._names[identity]

    def _make_name(self, identity: str) -> str:
        if (actor := self.by_id.get(identity)) is not None:
            process = self.process(identity) if len(self._processes) > 1 else None
            number = f" (tid {actor.tid})" if isinstance(actor, Thread) and identity in self._alike else ""
            return actor_name(actor) + number + (f" of process {process.pid}" if process else "")
        if (found := self.objects.get(identity)) is not None:
            return object_name(found)
        named = self._processes.get(identity)
        return f"process {named.pid}" if named else identity

    def tell_apart(self, identities: Sequence[str]) -> None:
        """From here on these have names of their own: of threads that are called the same, the numbers, too."""
        names = [self.name(one) for one in identities]
        if len(set(names)) < len(names):
            counts = Counter(names)
            self._alike.update(one for one, name in zip(identities, names, strict=True) if counts[name] > 1)
            self._names.clear()

    def process(self, identity: str) -> Process | None:
        """The process of an actor or an object."""
        one = self.by_id.get(identity) or self.objects.get(identity)
        return self._processes.get(self._moments.get(one.moment, "")) if one else None

    def main_thread(self, process: str) -> Thread | None:
        """The main thread of the process with this id."""
        return self._mains.get(process)

    def only_thread(self, process: str) -> Thread | None:
        """Of the process with this id, which is not Python, its only thread."""
        threads, found = self._threads.get(process, []), self._processes.get(process)
        return threads[0] if len(threads) == 1 and found is not None and found.python is None else None

    def is_alone(self, thread: Thread) -> bool:
        """Whether its process has no other thread."""
        return len(self._threads.get(self._moments.get(thread.moment, ""), [])) == 1

    def subject(self, identity: str) -> Subject:
        """The actor with the line where it stands, or the object."""
        actor = self.by_id.get(identity)
        if actor is None:
            kind = self.objects[identity].kind if identity in self.objects else "process"
            return Subject(kind=kind, name=self.name(identity), id=identity)
        at = own_line(actor) or Frame(kind="python")
        return Subject(
            kind=type(actor).__name__.lower(), name=actor_name(actor), id=actor.id, file=at.file, line=at.line
        )


def _find_main(threads: list[Thread]) -> Thread | None:
    return next((thread for thread in threads if thread.is_main), None)


def actor_name(actor: Actor) -> str:
    """`worker-1`, or `thread 1234` where it has no name."""
    if actor.name:
        return actor.name
    if isinstance(actor, Greenlet) and (actor.is_main or (actor.run and actor.run.function)):
        return "the main greenlet" if actor.is_main else f"greenlet {actor.run.function if actor.run else ''}"
    return f"thread {actor.tid or actor.ident}" if isinstance(actor, Thread) else actor.id


def object_name(found: Object) -> str:
    """`lock __main__.cache_lock`, or with its address where no frame showed a name."""
    kind = found.kind.replace("_", " ")
    if found.name:
        return f"{kind} {found.name}"
    return f"{kind} at {found.address:#x}" if found.address is not None else kind


def own_line(actor: Actor) -> Frame | None:
    """The innermost Python frame of the program itself, or of a library it installed; else the innermost there is."""
    frames = [frame for frame in actor.stack if frame.kind == "python"]
    return next((frame for frame in frames if not is_library(frame)), next(iter(frames), None))


def stand(actor: Actor, text: str, address: int | None = None, depth: int = 0) -> Evidence:
    """Where an actor stands, as evidence for what `text` says of it; `depth`: see Evidence."""
    at = own_line(actor) or Frame(kind="python")
    return Evidence(text=text, file=at.file, line=at.line, value=at.source, address=address, depth=depth)


def is_library(frame: Frame) -> bool:
    """Whether a frame's code came with Python, or is gevent's: by its module, which `__main__` is not."""
    top = (frame.module or PurePath(frame.file or "").stem).split(".")[0]
    return top in LIBRARY or is_patchers(frame)


def is_in(actor: Actor, module: str, *functions: str) -> bool:
    """Whether a frame of the actor's is in one of these functions of a module."""
    return any(frame.module == module and frame.function in functions for frame in actor.stack)
