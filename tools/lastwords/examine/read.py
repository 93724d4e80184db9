"""One moment, read whole: threads with stacks, locals, exceptions, what they wait for and hold, the GIL, the shutdown.

`read_moment` is the same for a live process, a core file, and a process that gdb has stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lastwords.capture.captured import Captured, KernelThread
from lastwords.capture.facts import Facts
from lastwords.capture.memory import ReadError
from lastwords.cpython import (
    Interpreter,
    read_handled_exception,
    read_modules,
    read_pending_exception,
    read_phase,
    read_threading,
)
from lastwords.cpython.finalize import read_step
from lastwords.cpython.frame import read_frames
from lastwords.cpython.gil import read_gil
from lastwords.cpython.holds import find_holds
from lastwords.cpython.locals import read_locals
from lastwords.cpython.locks import read_lock
from lastwords.cpython.modules import find_global
from lastwords.cpython.text import read_text
from lastwords.cpython.threads import PythonThread, read_threads
from lastwords.cpython.waits import Wait, read_waits
from lastwords.examine.entities import Entities
from lastwords.model import Gil, Moment, Process, Report, Shutdown, Thread, WaitsFor

# The kernel's letters (proc(5), /proc/PID/stat).
STATES = {
    "R": "running", "S": "sleeping", "D": "in an uninterruptible sleep", "T": "stopped", "t": "stopped by a tracer",
    "Z": "zombie", "X": "dead", "I": "idle",
}  # fmt: skip
LIBRARIES = ("gevent", "greenlet", "eventlet", "asyncio", "uwsgi", "celery", "gunicorn")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Options:
    """What to read beside threads and their stacks."""

    locals: bool = False


def read_moment(
    report: Report,
    process: Process,
    moment: Moment,
    interp: Interpreter,
    captured: Captured,
    facts: Facts | None = None,
    options: Options = Options(),  # noqa: B008 - it is frozen
) -> None:
    """Add everything that can be read of this moment to the report. What cannot is in `moment.capture.problems`."""
    reader = _Moment(report, process, moment, interp, captured, facts, options)
    reader.read()


class _Moment:
    def __init__(
        self,
        report: Report,
        process: Process,
        moment: Moment,
        interp: Interpreter,
        captured: Captured,
        facts: Facts | None,
        options: Options,
    ) -> None:
        self.report, self.process, self.moment = report, process, moment
        self.interp, self.captured, self.facts, self.options = interp, captured, facts, options
        self.threads = self._attempt("the list of threads", lambda: read_threads(interp, captured.threads)) or []
        self.entities = Entities(report, moment, interp, self.threads)

    def _attempt(self, what: str, read: Callable[[], Result]) -> Result | None:
        """What `read` returns; None and a problem where it cannot be read."""
        try:
            return read()
        except ReadError as error:
            self.moment.capture.problems.append(f"{what}: {error}")
            self.moment.capture.complete = False
            return None

    def read(self) -> None:
        """Each part by itself: one that cannot be read takes no other with it."""
        self._read_process()
        self._read_shutdown()
        self.report.threads += [self._thread(thread) for thread in self.threads]
        self.report.threads += [self._bare(thread) for thread in self._without_python()]
        self._read_gil()
        self._read_waits()
        if self.threads:
            main = next((one for one in self.threads if one.is_main), self.threads[0])
            self.report.threading.append(read_threading(self.interp, main.ident, self.moment.id))

    def _read_process(self) -> None:
        self.process.python = self._attempt("the interpreter's version", lambda: self.interp.python)
        self.process.modules = self._attempt("sys.modules", lambda: read_modules(self.interp)) or []
        for name in LIBRARIES:
            if name in self.process.modules:
                version = self._attempt(f"{name}.__version__", lambda name=name: self._version(name))  # type: ignore[misc]
                if version:
                    self.process.libraries[name] = version

    def _version(self, module: str) -> str | None:
        found = find_global(self.interp, module, "__version__")
        return read_text(self.interp, found, 100) if found else None

    def _read_shutdown(self) -> None:
        phase = self._attempt("the phase of the shutdown", lambda: read_phase(self.interp))
        if phase is not None:
            step = self._attempt("the step of the shutdown", lambda: read_step(self.interp))
            self.moment.shutdown = Shutdown(phase=phase, step=step)

    def _thread(self, found: PythonThread) -> Thread:
        thread = Thread(
            id=self.entities.thread_id(found.tid, found.ident),
            moment=self.moment.id,
            tid=found.tid,
            ident=found.ident,
            name=found.name,
            daemon=found.daemon,
            is_main=found.is_main,
            interpreter=found.interpreter,
            alive=found.alive,
            finishing=found.finishing,
            error=found.error,
        )
        _add_kernel(thread, found.kernel)
        stack = read_frames(self.interp, found.places)
        thread.stack, thread.error = stack.frames, thread.error or stack.error
        if self.options.locals:
            for frame, place in zip(thread.stack, found.places, strict=False):
                frame.locals = read_locals(self.interp, place)
        self._add_exceptions(thread, found)
        return thread

    def _add_exceptions(self, thread: Thread, found: PythonThread) -> None:
        try:
            thread.handled = read_handled_exception(self.interp, found.tstate)
            thread.pending = read_pending_exception(self.interp, found.tstate)
        except ReadError as error:
            thread.error = thread.error or f"its exceptions: {error}"

    def _without_python(self) -> Iterable[KernelThread]:
        paired = {thread.tid for thread in self.threads}
        return (one for one in self.captured.threads if one.tid not in paired)

    def _bare(self, found: KernelThread) -> Thread:
        thread = Thread(
            id=self.entities.thread_id(found.tid, None), moment=self.moment.id, tid=found.tid, ident=found.ident,
            name=found.name, is_main=found.tid == self.captured.pid, alive=True,
        )  # fmt: skip
        _add_kernel(thread, found)
        return thread

    def _read_gil(self) -> None:
        gil = self._attempt("the GIL", lambda: read_gil(self.interp, self.threads))
        if gil is None:
            return
        holder = next((one for one in self.threads if one.tstate == gil.holder), None)
        waiters = [self.entities.thread_id(one.tid, one.ident) for one in gil.waiters]
        identity = self.entities.thread_id(holder.tid, holder.ident) if holder else None
        self.moment.gil = Gil(holder=identity, waiters=waiters)
        for thread in self.report.threads:
            if thread.moment == self.moment.id and thread.interpreter is not None:
                thread.holds_gil = thread.id == identity

    def _read_waits(self) -> None:
        waits = self._attempt(
            "what threads wait for", lambda: read_waits(self.interp, self.threads, self.captured, self.facts)
        )
        holds = self._attempt("who holds which lock", lambda: find_holds(self.interp, self.threads, waits or []))
        by_id = {thread.id: thread for thread in self.report.threads}
        for wait in waits or []:
            thread = by_id[self.entities.thread_id(wait.tid, wait.ident)]
            thread.waits_for = self._wait(wait)
            if thread.waits_for.target:
                self.entities.add_edge(thread.id, thread.waits_for.target, "waits", wait.certainty, wait.detail)
            if thread.is_main and self.moment.shutdown and self.moment.shutdown.phase == "shutdown":
                self.moment.shutdown.waits_for = thread.waits_for.target
        for hold in holds or []:
            thread = by_id[self.entities.thread_id(hold.thread.tid, hold.thread.ident)]
            lock = self._attempt("a lock", lambda hold=hold: read_lock(self.interp, hold.lock))  # type: ignore[misc]
            if lock is not None:
                target = self.entities.add_lock(lock)
                thread.holds.append(target)
                self.entities.add_edge(thread.id, target, "holds", hold.certainty, hold.evidence)

    def _wait(self, wait: Wait) -> WaitsFor:
        target = self.entities.find_thread(wait.target) if wait.kind == "join" else None
        if wait.object is not None and target is None:
            lock = self._attempt("a lock", lambda: read_lock(self.interp, wait.object or 0))
            target = self.entities.add_lock(lock) if lock else None
        return WaitsFor(
            kind=wait.kind, target=target, detail=wait.detail, certainty=wait.certainty, call=wait.call,
            until=wait.until,
        )  # fmt: skip


def _add_kernel(thread: Thread, kernel: KernelThread | None) -> None:
    if kernel is not None:
        thread.state = STATES.get(kernel.state or "", kernel.state)
        thread.consistent = kernel.stood_still


def touch_roots(interp: Interpreter, kernel: Sequence[KernelThread], known: set[int]) -> None:
    """Read where every thread stands, and the code that is not in `known` yet: what may have moved since."""
    for thread in read_threads(interp, kernel):
        fresh = [place for place in thread.places if place.code not in known]
        known.update(place.code for place in fresh)
        read_frames(interp, fresh)
