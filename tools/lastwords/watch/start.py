"""Fork the program, attach gdb to it, listen, and make the report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lastwords import __version__
from lastwords.capture import procfs
from lastwords.capture.agent import Channel, add_to
from lastwords.capture.agent_records import default_process_id
from lastwords.capture.breakpoints import find_descendants, remove_breakpoints
from lastwords.capture.forward import SignalForwarder
from lastwords.capture.gdb import GdbEnded, GdbSession, find_gdb
from lastwords.capture.launch import Child, find_program, keep_standard_descriptors_closed, launch
from lastwords.errors import SetupError
from lastwords.model import Exit, Process, Report, Tool
from lastwords.watch.merge import drop_repeated
from lastwords.watch.processes import Processes
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
        processes = Processes(main)
        trouble = _watch(child, signals, processes, report, options)
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


def _watch(
    child: Child, signals: SignalForwarder, processes: Processes, report: Report, options: Options
) -> SetupError | None:
    """Let the program run, under gdb if that can be; why not, if not."""
    try:
        session = _attach(child, options)
    except SetupError as trouble:
        child.release()
        signals.start(child.pid)
        report.problems.append(f"not watched by gdb: {trouble.fact}")
        return trouble
    with session:
        try:
            child.release()
            signals.start(child.pid)
            Supervisor(session, processes, report).listen(child, options.linger)
        except GdbEnded as ended:
            if ended.is_lost or session.close() == "killed":
                _clean(child.pid)
            report.problems.append(f"{ended}: from then on the program ran unwatched")
    return None


def _clean(pid: int) -> None:
    """gdb is gone and did not let go: its breakpoints would kill the program and its children."""
    for process in find_descendants(pid):
        remove_breakpoints(process)


def _attach(child: Child, options: Options) -> GdbSession:
    """A gdb that holds the waiting child. Raises SetupError; gdb is reaped then."""
    session = GdbSession(find_gdb(), options.children, index_cache())
    try:
        child.allow_tracer(session.pid)
        session.attach(child.pid)
    except GdbEnded as ended:
        session.close()
        raise SetupError(f"{ended} while it attached to the program.", "lastwords doctor") from ended
    except SetupError:
        session.close()
        raise
    return session


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
