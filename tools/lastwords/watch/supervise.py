"""gdb's events, one after the other: what stopped is read and goes on.

Everything read goes straight into the report, so that nothing is lost if gdb or a process is.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lastwords.capture import procfs
from lastwords.capture.gdb import GdbSession
from lastwords.capture.launch import Child
from lastwords.capture.procfs import ProcessGoneError
from lastwords.cpython import Interpreter, ReadError, open_process, read_threading, read_value
from lastwords.cpython.pytest_tests import read_current_test
from lastwords.errors import LastwordsError, SetupError
from lastwords.loop_exit import is_loop_exit
from lastwords.model import Capture, Caught, Exit, Moment, Report
from lastwords.watch.bystanders import Standing, Unwinders, read_all_threads, read_standing
from lastwords.watch.crashes import STOP_SECONDS, Crash, deadly, halt, new_moment, read_crash
from lastwords.watch.gdb_memory import GdbMemory
from lastwords.watch.glance import Glance, Known, read_glance
from lastwords.watch.hang import HangWatch
from lastwords.watch.last import UNSEEN, find_unseen
from lastwords.watch.merge import add_part
from lastwords.watch.messages import read_message
from lastwords.watch.options import Hang
from lastwords.watch.processes import Processes
from lastwords.watch.stops import OpenStops, Stop, is_told_again, stop_from_event
from lastwords.watch.swallowed import has_own_hook, judge_by_c_stack, make_place, read_caught, tell_again

_END_PATIENCE_SECONDS = 5.0
THREADS_MOMENTS = 200  # exceptions of different places with which all threads are read; a report must stay readable
_TICK_SECONDS = 0.2  # how often we look whether the program has ended without gdb's saying so


class Supervisor:
    """Listens to gdb until the program has ended."""

    def __init__(self, session: GdbSession, processes: Processes, report: Report, numbers: Iterator[int]) -> None:
        self.session = session
        self.processes = processes
        self.report = report
        self.numbers = numbers  # of the report's moments
        self._waiting: deque[dict[str, Any]] = deque()
        self._readers: dict[int, Interpreter] = {}
        self._unwinders = Unwinders()
        self._open = OpenStops()
        self._glanced, self._read_before = Known(), Known()
        self._watches_hook = False
        self._last: dict[int, tuple[Stop, Glance, Caught]] = {}
        self._fatal: dict[int, str] = {}
        self._crashes: dict[int, Crash] = {}

    def listen(self, child: Child, linger: float, hangs: HangWatch) -> Hang | None:
        """Until `child` hangs or has ended, and for its children at most `linger` seconds longer. Raises GdbEnded."""
        while child.poll() is None:
            self._handle_next()
            hang = hangs.look()
            if hang is not None:
                return hang
        if not linger:  # gdb 13 was seen to wait for ever where a program ends in the middle of a fork
            self.session.patience = min(self.session.patience, _END_PATIENCE_SECONDS)
        deadline = time.monotonic() + linger
        self._drain()
        while self.processes.others() and time.monotonic() < deadline:
            self._handle_next()
        for crash in deadly(self._crashes, child.pid, child.wait()):
            self._report(crash)
        self._let_go_of_children()
        return None

    def take_up(self, session: GdbSession, pids: Sequence[int]) -> None:
        """Go on with another gdb, which attaches to those of `pids` that run still. Raises GdbEnded, SetupError."""
        self.session = session
        self._readers.clear()
        self._waiting.clear()
        self._watches_hook = False
        for pid in self.processes.others():
            if pid not in pids:
                self.processes.end(pid, None)
        for pid in pids:
            try:
                self.processes.find(pid)
                session.attach(pid, "join")
            except (procfs.ProcessGoneError, OSError, SetupError) as error:
                if pid == self.processes.main.pid:
                    raise
                self.processes.let_go(pid)
                if Path(f"/proc/{pid}").exists():
                    self.report.problems.append(f"process {pid} is not watched any more: {error}")

    def _handle_next(self) -> None:
        event = self._waiting.popleft() if self._waiting else self.session.next_event(_TICK_SECONDS)
        if event is not None:
            self._handle(event)

    def _drain(self) -> None:
        """What gdb has said already, although the program is gone."""
        while (event := self.session.next_event(0.0)) is not None:
            self._handle(event)

    def _handle(self, event: dict[str, Any]) -> None:
        handler = getattr(self, f"_on_{event.get('event')}", None)
        if handler is not None:
            handler(event)

    def _on_error(self, event: dict[str, Any]) -> None:
        self.report.problems.append(f"gdb: {event['text']}")

    def _on_fork(self, event: dict[str, Any]) -> None:
        self.processes.fork(event["parent"], event["pid"])

    def _on_exec(self, event: dict[str, Any]) -> None:
        pid, tid = event["pid"], event["tid"]
        self._forget(pid)
        try:
            is_python = self.processes.execute(pid)
        except (ProcessGoneError, OSError):
            is_python = False
        if is_python:
            self.session.order("watch", tid=tid)
        elif pid == self.processes.main.pid:
            self.session.order("resume", tid=tid)  # a shell, env, a shim: what it runs next may be Python
        else:
            self.processes.let_go(pid)
            self.session.order("let_go", pid=pid)

    def _on_exited(self, event: dict[str, Any]) -> None:
        pid = event["pid"]
        if pid == self.processes.main.pid:
            return  # its exit is the launcher's to tell
        ended = (
            Exit(code=event["code"], signal=event["signal"]) if event["code"] is not None or event["signal"] else None
        )
        for crash in deadly(self._crashes, pid, ended):
            self._report(crash)
        self.processes.end(pid, ended)
        self._forget(pid)

    def _forget(self, pid: int) -> None:
        """The process runs another program now, or none: no address that is known of it means anything."""
        self._readers.pop(pid, None)
        self._unwinders.forget(pid)
        self._open.forget(pid)
        self._glanced.forget(pid)
        self._last = {tid: last for tid, last in self._last.items() if last[0].pid != pid}
        self._fatal.pop(pid, None)
        self._crashes.pop(pid, None)

    def _on_stop(self, event: dict[str, Any]) -> None:
        stop = stop_from_event(event)
        standing = [stop.tid]
        try:
            if stop.signal in ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"):
                standing = self._read_crash(stop)
            elif stop.family == "fatal":
                self._remember_message(stop)
            elif stop.family == "ending":
                self._read_last(stop)
            elif stop.family is not None:
                self._read_swallowed(stop)
        finally:
            for tid in reversed(standing):
                self.session.order("resume", tid=tid)

    def _read_swallowed(self, stop: Stop) -> None:
        started = time.monotonic()
        process = self.processes.watched[stop.pid]
        caught = Caught(id=f"exception-{len(self.report.exceptions) + 1}", process=process.id, how="unraisable")
        interpreter = None
        try:
            interpreter = self._reader(stop.pid)
            process.python = process.python or interpreter.python
            tstate = _require_thread(interpreter, stop)
            glance = read_glance(interpreter, stop, tstate)
            if not self._is_news(interpreter, stop, glance) or self._is_counted(stop, glance):
                return
            self._watch_hook(interpreter)
            read_caught(interpreter, stop, tstate, caught)
            with contextlib.suppress(ReadError):
                caught.test = read_current_test(interpreter)
            if _is_exit(stop, caught) or self._is_known(stop, glance, caught):
                return
            self._last[stop.tid] = stop, glance, caught
        except (LastwordsError, ReadError) as error:
            interpreter = None
            caught.error = str(error)
        self._add(stop, caught, interpreter, started)

    def _watch_hook(self, interpreter: Interpreter) -> None:
        """Where the program has a hook of its own, stop also at what the interpreter calls when that fails."""
        if self._watches_hook or not has_own_hook(interpreter):
            return
        self._watches_hook = True
        if not self.session.order("watch_hook").get("found"):
            self.report.problems.append(
                "sys.unraisablehook is the program's own; were it to fail itself, that would not be seen: this Python "
                "has no symbol for write_unraisable_exc_file (its debug symbols have it)"
            )

    def _is_news(self, interpreter: Interpreter, stop: Stop, glance: Glance) -> bool:
        """Whether it is not the same exception on its way through one more function."""

        def is_active(outer: Stop) -> bool:
            """The word at its stack pointer is the way back still."""
            try:
                return interpreter.pointer(outer.registers["sp"]) == outer.registers.get("return_address")
            except ReadError:  # the stack of an earlier thread
                return False

        if not self._open.is_news(stop, glance.instance, is_active):
            return False
        last = self._last.get(stop.tid)
        if last and (_adds_words(last[0], glance) or (is_told_again(last[0], stop) and last[1].value == glance.value)):
            tell_again(interpreter, stop, last[2])
            return False
        return True

    def _is_counted(self, stop: Stop, glance: Glance) -> bool:
        """Count it if it looks like one that was seen before."""
        known = self._glanced.find(glance.place, glance.text)
        if known is not None:
            known.count += 1
            self._last[stop.tid] = stop, glance, known
        return known is not None

    def _is_known(self, stop: Stop, glance: Glance, caught: Caught) -> bool:
        """Count it if it is one that was seen before, by what was read of it."""
        place, text = make_place(stop, caught), caught.exception.value if caught.exception else None
        known = self._read_before.find(place, text)
        if known is not None:
            known.count += 1
        self._read_before.keep(place, text, known or caught)
        self._glanced.keep(glance.place, glance.text, known or caught)
        return known is not None

    def _add(self, stop: Stop, caught: Caught, interpreter: Interpreter | None, started: float) -> None:
        standing = read_standing(self.session, stop)
        caught.stack, caught.error = standing.frames, caught.error or standing.error
        judge_by_c_stack(caught)
        if interpreter is not None and caught.how == "thread" and not (caught.python_stack or caught.words):
            self._add_started(interpreter, stop, caught)
        self._add_moment(standing, caught, interpreter, started)

    def _read_last(self, stop: Stop) -> None:
        """The exception that ended the program, if nothing has been seen of it."""
        started = time.monotonic()
        process = self.processes.watched[stop.pid]
        with contextlib.suppress(LastwordsError, ReadError):
            interpreter = self._reader(stop.pid)
            seen = [caught for caught in self.report.exceptions if caught.process == process.id]
            last = find_unseen(interpreter, seen)
            if last is not None:
                identity = f"exception-{len(self.report.exceptions) + 1}"
                caught = Caught(id=identity, process=process.id, how="uncaught", exception=last, error=UNSEEN)
                self._add_moment(read_standing(self.session, stop), caught, interpreter, started)

    def _add_moment(self, held: Standing, caught: Caught, interpreter: Interpreter | None, started: float) -> None:
        moment = Moment(
            id=f"moment-{next(self.numbers)}",
            process=caught.process,
            reason="unraisable",
            capture=Capture(method="gdb and process_vm_readv"),
        )
        caught.moment = moment.id
        if interpreter is not None:
            with contextlib.suppress(ReadError):
                self.report.threading.append(read_threading(interpreter, held.stop.ident, moment.id))
            if len(self.report.moments) < THREADS_MOMENTS:
                part = self._read_threads(interpreter, moment, [held], greenlets=is_loop_exit(caught))
                caught.thread = next((one.id for one in part.threads if one.tid == held.stop.tid), None)
                add_part(self.report, part)
        moment.capture.pause_ms = round((time.monotonic() - started) * 1000, 3)
        moment.capture.complete = caught.error is None
        self.report.moments.append(moment)
        self.report.exceptions.append(caught)

    def _add_started(self, interpreter: Interpreter, stop: Stop, caught: Caught) -> None:
        """Until 3.7 (Modules/_threadmodule.c, t_bootstrap) the thread's function is in a variable of C alone."""
        answer = self.session.order("evaluate", tid=stop.tid, function="t_bootstrap", expression="boot->func")
        if "value" in answer:
            caught.object = read_value(interpreter, answer["value"])
            caught.message = f"Unhandled exception in thread started by {caught.object.repr}"

    def _reader(self, pid: int) -> Interpreter:
        """The interpreter of a process, its memory as it is now. Raises LastwordsError."""
        reader = self._readers.get(pid)
        if reader is None:
            try:
                reader = open_process(pid)
            except SetupError:  # forbidden to us (yama, a user namespace), not to gdb
                reader = open_process(pid, GdbMemory(self.session, pid))
            self._readers[pid] = reader
        reader.refresh()
        return reader

    def _remember_message(self, stop: Stop) -> None:
        with contextlib.suppress(LastwordsError, ReadError):
            message = read_message(self._reader(stop.pid), stop, None)
            if message is not None:
                self._fatal[stop.pid] = message

    def _read_crash(self, stop: Stop) -> list[int]:
        """Read every thread of the process; the tids of those that stand still now."""
        started = time.monotonic()
        process = self.processes.watched[stop.pid]
        halted = halt(self.session, stop)
        self._waiting.extend(halted.others)
        moment = new_moment(f"moment-{next(self.numbers)}", process.id, started)
        if halted.missing:
            moment.capture.problems.append(f"{halted.missing} threads did not stop within {STOP_SECONDS:.0f} s")
            moment.capture.complete = False
        standing = [read_standing(self.session, one) for one in halted.stops]
        crash = read_crash(standing, self._reader, self._read_threads, moment, self._fatal.pop(stop.pid, None))
        moment.capture.pause_ms = round((time.monotonic() - started) * 1000, 3)
        self._crashes[stop.pid] = crash
        return [one.tid for one in halted.stops]

    def _report(self, crash: Crash) -> None:
        self.report.moments.append(crash.moment)
        self.report.exceptions.append(crash.caught)
        add_part(self.report, crash.part)

    def _read_threads(
        self, interpreter: Interpreter, moment: Moment, standing: Sequence[Standing], *, greenlets: bool = False
    ) -> Report:
        process = self.processes.watched[standing[0].stop.pid]
        return read_all_threads(process, moment, interpreter, standing, self._unwinders, greenlets=greenlets)

    def _let_go_of_children(self) -> None:
        for pid in self.processes.others():
            if not Path(f"/proc/{pid}").exists():  # gdb 13 does not tell of every end of a vforked child
                self.processes.end(pid, None)
                continue
            self.report.problems.append(
                f"process {pid} outlived the program; it was let go and runs on unwatched (--linger SECONDS waits)"
            )
            self.session.order("let_go", pid=pid)


def _require_thread(interpreter: Interpreter, stop: Stop) -> int:
    """The PyThreadState of the stopped thread. Raises ReadError."""
    tstate = interpreter.find_thread(stop.ident)
    if tstate is None:
        raise ReadError(f"no PyThreadState belongs to thread {stop.tid}")
    return tstate


def _adds_words(before: Stop, glance: Glance) -> bool:
    """Whether what was printed just now is called ignored, without an exception: ctypes up to 3.7 does so."""
    return glance.is_none and before.family == "printed"


def _is_exit(stop: Stop, caught: Caught) -> bool:
    """`PyErr_PrintEx` ends the program on SystemExit: nothing is swallowed."""
    kind = caught.exception.type if caught.exception else None
    return stop.family == "printed" and kind in ("SystemExit", "exceptions.SystemExit")
