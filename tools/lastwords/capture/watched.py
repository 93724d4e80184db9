"""Run a program with the agent in it and nothing else: no debugger. What `trace` and `guard` do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

import msgspec

from lastwords import __version__
from lastwords.capture import procfs
from lastwords.capture.agent import Channel, add_to
from lastwords.capture.agent_records import Said
from lastwords.capture.forward import SignalForwarder
from lastwords.capture.launch import find_program, keep_standard_descriptors_closed, launch
from lastwords.model import Exit, Process, Report, Tool


class Watched(msgspec.Struct, frozen=True):
    """What the agent said of a program, how the program ended, and what of its imports may have been missed."""

    report: Report
    ended: Exit
    unseen: list[str]


def watch(argv: Sequence[str], environ: Mapping[str, str]) -> Watched:
    """Run the program to its end.

    Raises NotFoundError, NotExecutableError. A signal sent to us goes to the program.
    """
    keep_standard_descriptors_closed()
    program = find_program(argv, environ)
    cwd = procfs.read_link(os.getpid(), "cwd")
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with Channel() as channel, ExitStack() as cleanup:
        signals = SignalForwarder()
        cleanup.callback(signals.stop)
        child = launch(program, channel.environ(environ), keep_fds=channel.fds, mask=signals.mask)
        child.release()
        signals.start(child.pid)
        ended = child.wait()
        signals.stop()
        said = channel.read()
    process = Process(
        id=said.process_id(child.pid), pid=child.pid, ppid=os.getpid(), argv=list(argv), cwd=cwd, exit=ended
    )
    report = Report(tool=Tool(version=__version__), mode="trace", captured_at=started, processes=[process])
    add_to(report, said)
    silences = _silences(said, process, ended)
    report.problems += silences
    return Watched(report, ended, said.problems + silences)


def _silences(said: Said, process: Process, ended: Exit) -> list[str]:
    """A program that has threading and ended by itself passes `threading._shutdown`; the agent sees that."""
    has_threading = any(one.process == process.id and one.module == "threading" for one in said.imports.watched)
    if not has_threading or ended.code is None or process.pid in said.ended:
        return []
    return [
        f"process {process.pid}: the agent did not see the end of the program (it closed all descriptors, or ended by "
        "os._exit or exec); what came after its last record is missing"
    ]
