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
from lastwords.capture.forward import SignalForwarder
from lastwords.capture.gdb import GdbSession, find_gdb
from lastwords.capture.launch import find_program, keep_standard_descriptors_closed, launch
from lastwords.errors import SetupError
from lastwords.model import Exit, Process, Report, Tool
from lastwords.watch.merge import drop_repeated
from lastwords.watch.options import Options


@dataclass
class Ran:
    """The report, and how the program ended. `trouble` is why gdb did not watch it, if it did not.

    is_late: whether it ran for longer than it may
    """

    report: Report
    ended: Exit
    trouble: SetupError | None = None
    is_late: bool = False


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
        if isinstance(session, GdbSession):
            cleanup.enter_context(session)
        # While gdb starts: what reads CPython and ELF files takes as long to load.
        from lastwords.watch.follow import Following  # noqa: PLC0415
        from lastwords.watch.processes import Processes  # noqa: PLC0415

        processes = Processes(main)
        following = Following(child, signals, processes, report, options.limits)
        trouble = following.watch(session) if isinstance(session, GdbSession) else session
        if trouble:
            report.problems.append(f"not watched by gdb: {trouble.fact}")
        child.release()
        signals.start(child.pid, is_traced=not trouble)
        is_late = following.follow(options, channel, _start_gdb)
        main.exit = child.wait()
        signals.stop()
        report.processes = following.list_processes()
        if channel:
            add_to(report, channel.read())
    if trouble is None and not processes.pythons:
        report.problems.append(f"{' '.join(argv)[:200]} is not a Python program: nothing in it could be watched")
    drop_repeated(report)
    return Ran(report, main.exit, trouble, is_late)


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
