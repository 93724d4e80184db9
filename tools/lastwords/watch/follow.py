"""A program from its release to its end: watched by gdb where that can be, by the clock, and again after a hang."""

from __future__ import annotations

import copy
import itertools
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime

from lastwords.capture import procfs
from lastwords.capture.agent import Channel, add_to
from lastwords.capture.breakpoints import mend
from lastwords.capture.forward import SignalForwarder
from lastwords.capture.gdb import GdbEnded, GdbSession
from lastwords.capture.kernel.family import list_family
from lastwords.capture.launch import Child
from lastwords.capture.permission import find_lost_right
from lastwords.errors import SetupError
from lastwords.model import Process, Report
from lastwords.watch.hang import HangWatch
from lastwords.watch.hung import end_tree, read_hung
from lastwords.watch.merge import drop_repeated
from lastwords.watch.options import Hang, Hung, Limits, Options
from lastwords.watch.processes import Processes, is_python_program
from lastwords.watch.supervise import Supervisor

Start = Callable[[Options], GdbSession | SetupError]


class Following:
    """One program, whose report is made. `supervisor` is None while gdb does not watch it."""

    def __init__(
        self, child: Child, signals: SignalForwarder, processes: Processes, report: Report, limits: Limits
    ) -> None:
        self.child, self.signals, self.processes, self.report = child, signals, processes, report
        self.supervisor: Supervisor | None = None
        self.numbers = itertools.count(1)  # of the report's moments
        self.hangs = HangWatch(child.pid, limits)

    def follow(self, options: Options, channel: Channel | None, start: Start) -> bool:
        """To its end. Whether it ran for longer than it may."""
        is_late = False
        self.hangs.start()
        while (hang := self.listen(options.linger)) is not None:
            is_late |= hang.kind == "timeout"
            self.attend(hang, options, channel, start)
        self.report.problems += self.hangs.problems()
        return is_late

    def listen(self, linger: float) -> Hang | None:
        """Until it hangs: then gdb has let it go; or until it has ended."""
        if self.supervisor is None:
            return self.hangs.wait(self.child)
        with self.supervisor.session as session:
            try:
                hang = self.supervisor.listen(self.child, linger, self.hangs)
                if not session.is_alive():
                    raise GdbEnded("gdb ended by itself", is_lost=True)  # noqa: TRY301 - found late, but all the same
            except GdbEnded as ended:
                return self._lose(session, ended)
            if session.close() == "killed":
                self._clean()
            return hang

    def _lose(self, session: GdbSession, ended: GdbEnded) -> Hang | None:
        """gdb is gone: from now on the program is watched by the clock alone."""
        self.supervisor = None
        if ended.is_lost:
            self._clean()
        if session.close() == "killed":
            self._clean()
        self.report.problems.append(f"{ended}: from then on the program ran unwatched")
        hang = self.hangs.wait(self.child)
        if ended.is_lost and hang is None and self.child.wait().signal == signal.SIGTRAP:
            self.report.problems.append(
                "the program died of SIGTRAP: it met one of gdb's breakpoints when gdb was gone; without lastwords "
                "it would have run on"
            )
        return hang

    def _clean(self) -> None:
        """gdb is gone and did not let go: its breakpoints would kill the program and its children."""
        self.signals.tracer_is_lost()
        own = [self.child.pid] if self.child.poll() is None else []  # once it is reaped, its number is anybody's
        mend([*own, *self.processes.others()])

    def list_processes(self) -> list[Process]:
        """Those that gdb watched, and those that were read as they hung."""
        watched = self.processes.all()
        known = {process.id for process in watched}
        return [*watched, *(process for process in self.report.processes if process.id not in known)]

    def watch(self, session: GdbSession) -> SetupError | None:
        """Make gdb hold the waiting child; why not, if it cannot, or must not."""
        path = self.child.program.path
        right = find_lost_right(path)
        if right:
            session.close()
            fact = f"{path} {right}, which the kernel takes from a program that gdb holds; it runs unwatched."
            return SetupError(fact, "sudo lastwords run -- ...")
        try:
            session.begin()
            self.child.allow_tracer(os.getpid())
            session.attach(self.child.pid)
        except GdbEnded as ended:
            session.close()
            return SetupError(f"{ended} while it attached; the program runs unwatched.", "lastwords doctor")
        except SetupError as error:
            session.close()
            return error
        self.supervisor = Supervisor(session, self.processes, self.report, self.numbers)
        return None

    def attend(self, hang: Hang, options: Options, channel: Channel | None, start: Start) -> None:
        """Read what hangs, tell it, do what is wanted; and if the program goes on, watch it again."""
        began, clock = time.monotonic(), _clock()
        supervisor, self.supervisor = self.supervisor, None
        self.report.processes = self.list_processes()
        moments = read_hung(self.child.pid, self.report, self.numbers)
        if options.on_hang(Hung(hang, moments, self._as_it_is(channel))):
            end_tree(self.child)
        self.hangs.leave_out(time.monotonic() - began)
        if supervisor is not None:
            lost = self._watch_again(supervisor, options, start)
            self._say_unwatched(lost, clock, time.monotonic() - began)

    def _as_it_is(self, channel: Channel | None) -> Report:
        """The report as if the program ended now, with what the agent has told so far; ours goes on."""
        report = copy.deepcopy(self.report)
        if channel:
            add_to(report, channel.read())
        drop_repeated(report)
        return report

    def _watch_again(self, supervisor: Supervisor, options: Options, start: Start) -> str | None:
        """Why gdb could not attach again, if it could not; "": the program has ended."""
        if self.child.poll() is not None:
            return ""
        session = start(options)
        if isinstance(session, SetupError):
            return str(session)
        try:
            session.begin()
            supervisor.take_up(session, self._find_pids(supervisor, options.children))
        except (GdbEnded, SetupError, procfs.ProcessGoneError, OSError) as error:
            session.close()
            return str(error)
        self.supervisor = supervisor
        return None

    def _find_pids(self, supervisor: Supervisor, children: bool) -> list[int]:
        """The program, and the Python processes that are below it or were watched before."""
        family = [one.pid for one in list_family(self.child.pid) if one.state not in "ZX"]
        others = [pid for pid in (*family, *supervisor.processes.others()) if is_python_program(pid)]
        watched = others if children else []
        return list(dict.fromkeys([self.child.pid, *watched]))

    def _say_unwatched(self, lost: str | None, clock: str, seconds: float) -> None:
        if lost is None:
            text = f"and had it again {seconds:.1f} s later: what came in between was not seen"
        else:
            why = f" ({lost.rstrip('.')})" if lost else ""
            text = f"and from then on it ran unwatched{why}"
        self.report.problems.append(f"gdb let the program go at {clock}, as it hung, {text}")


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
