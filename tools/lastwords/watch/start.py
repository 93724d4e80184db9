"""Fork the program, attach gdb to it, listen, and make the report."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lastwords import __version__
from lastwords.capture import procfs
from lastwords.capture.agent import Channel, add_to
from lastwords.capture.agent_records import default_process_id
from lastwords.capture.forward import SignalForwarder
from lastwords.capture.gdb import GdbEnded, GdbSession, find_gdb
from lastwords.capture.launch import Child, find_program, keep_standard_descriptors_closed, launch
from lastwords.capture.permission import find_lost_right
from lastwords.errors import SetupError
from lastwords.model import Exit, Process, Report, Tool
from lastwords.watch.merge import drop_repeated

if TYPE_CHECKING:
    from lastwords.watch.supervise import Supervisor


@dataclass(frozen=True)
class Options:
    """What `run` is asked for: whether to watch `children`, to load the `agent`, how long to `linger` for children."""

    children: bool = True
    agent: bool = True
    linger: float = 0.0


@dataclass
class Ran:
    """The report, and how the program ended. `trouble` is why gdb did not watch it, if it did not."""

    report: Report
    ended: Exit
    trouble: SetupError | None = None


def run(argv: Sequence[str], environ: Mapping[str, str], options: Options) -> Ran:
    """Run the program to its end, watched. Raises NotFoundError, NotExecutableError.

    Where gdb is not to be had or may not attach, the program runs all the same, and `trouble` says why.
    """
    keep_standard_descriptors_closed()
    program = find_program(argv, environ)
    cwd = procfs.read_link(os.getpid(), "cwd")  # where it is deleted, too
    report = Report(
        tool=Tool(version=__version__), mode="run", captured_at=datetime.now(UTC).isoformat(timespec="seconds")
    )
    with ExitStack() as cleanup:
        channel = cleanup.enter_context(_open_channel(report)) if options.agent else None
        signals = SignalForwarder()
        cleanup.callback(signals.stop)
        child = launch(
            program,
            channel.environ(environ) if channel else environ,
            keep_fds=channel.fds if channel else (),
            mask=signals.mask,
        )
        main = Process(id=default_process_id(child.pid), pid=child.pid, ppid=os.getpid(), argv=list(argv), cwd=cwd)
        session = _start_gdb(options)
        # While gdb starts: what reads CPython and ELF files takes as long to load.
        from lastwords.watch.processes import Processes  # noqa: PLC0415
        from lastwords.watch.supervise import Supervisor  # noqa: PLC0415

        processes = Processes(main)
        if isinstance(session, GdbSession):
            trouble = _watch(child, signals, Supervisor(session, processes, report), options.linger)
        else:
            trouble = session
        if trouble:
            _run_unwatched(child, signals, report, trouble)
        main.exit = child.wait()
        signals.stop()
        report.processes = processes.all()
        if channel:
            add_to(report, channel.read())
    if trouble is None and not processes.pythons:
        report.problems.append(f"{' '.join(argv)[:200]} is not a Python program: nothing in it could be watched")
    drop_repeated(report)
    return Ran(report, main.exit, trouble)


def _open_channel(report: Report) -> AbstractContextManager[Channel | None]:
    """The agent's, or none and a problem: the program is to run whatever is missing."""
    try:
        return Channel()
    except OSError as error:
        report.problems.append(f"the agent was left out: no memory or descriptor for it ({error.strerror})")
        return nullcontext()


def _start_gdb(options: Options) -> GdbSession | SetupError:
    """A gdb that is starting, or why there is none."""
    try:
        return GdbSession(find_gdb(), options.children, index_cache())
    except SetupError as error:
        return error


def _watch(child: Child, signals: SignalForwarder, supervisor: Supervisor, linger: float) -> SetupError | None:
    """Let the program run under gdb; why not, if that cannot be: then it waits still."""
    with supervisor.session as session:
        trouble = _attach(child, session)
        if trouble:
            return trouble
        try:
            child.release()
            signals.start(child.pid, is_traced=True)
            supervisor.listen(child, linger)
            if not session.is_alive():
                raise GdbEnded("gdb ended by itself", is_lost=True)  # noqa: TRY301 - found late, but all the same
        except GdbEnded as ended:
            if ended.is_lost:
                signals.tracer_is_lost()
                _clean(child.pid)
            if session.close() == "killed":
                signals.tracer_is_lost()
                _clean(child.pid)
            supervisor.report.problems.append(f"{ended}: from then on the program ran unwatched")
            if ended.is_lost and child.wait().signal == signal.SIGTRAP:
                supervisor.report.problems.append(
                    "the program died of SIGTRAP: it met one of gdb's breakpoints when gdb was gone; without lastwords "
                    "it would have run on"
                )
    return None


def _run_unwatched(child: Child, signals: SignalForwarder, report: Report, trouble: SetupError) -> None:
    child.release()
    signals.start(child.pid)
    report.problems.append(f"not watched by gdb: {trouble.fact}")


def _clean(pid: int) -> None:
    """gdb is gone and did not let go: its breakpoints would kill the program and its children."""
    from lastwords.capture.breakpoints import (  # noqa: PLC0415 - start-up time
        find_descendants,
        is_stopped,
        remove_breakpoints,
    )

    for process in find_descendants(pid):
        remove_breakpoints(process)
        if is_stopped(process):  # by a SIGSTOP that gdb had under way
            os.kill(process, signal.SIGCONT)


def _attach(child: Child, session: GdbSession) -> SetupError | None:
    """Make gdb hold the waiting child; why not, if it cannot, or must not."""
    right = find_lost_right(child.program.path)
    if right:
        fact = f"{child.program.path} {right}, which the kernel takes from a program that gdb holds; it runs unwatched."
        return SetupError(fact, "sudo lastwords run -- ...")
    try:
        session.begin()
        child.allow_tracer(session.pid)
        session.attach(child.pid)
    except GdbEnded as ended:
        return SetupError(f"{ended} while it attached; the program runs unwatched.", "lastwords doctor")
    except SetupError as error:
        return error
    return None


def index_cache() -> Path | None:
    """Where gdb keeps its index of debug information, so that it reads it once; None where nothing can be kept."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "")
        # The XDG base directory specification: a relative one is to be ignored. RuntimeError: there is no home.
        directory = (base if base.is_absolute() else Path.home() / ".cache") / "lastwords" / "gdb-index"
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return directory if os.access(directory, os.W_OK) else None
