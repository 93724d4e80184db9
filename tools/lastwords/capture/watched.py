"""Run a program with the agent in it and nothing else: no debugger. What `trace` and `guard` do."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from lastwords import __version__
from lastwords.capture.agent import Channel, add_to
from lastwords.capture.forward import SignalForwarder
from lastwords.capture.launch import find_program, launch
from lastwords.model import Exit, Process, Report, Tool


def watch(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Report, Exit]:
    """Run the program to its end; the report of what the agent said, and how the program ended.

    Raises NotFoundError, NotExecutableError. A signal sent to us goes to the program.
    """
    program = find_program(argv, environ)
    cwd = str(Path.cwd())
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with Channel() as channel:
        signals = SignalForwarder()
        child = launch(program, channel.environ(environ), keep_fds=channel.fds, mask=signals.mask)
        child.release()
        signals.start(child.pid, lambda: _stop_with(child.pid))
        ended = child.wait()
        signals.stop()
        said = channel.read()
    process = Process(
        id=said.process_id(child.pid), pid=child.pid, ppid=os.getpid(), argv=list(argv), cwd=cwd, exit=ended
    )
    report = Report(tool=Tool(version=__version__), mode="trace", captured_at=started, processes=[process])
    add_to(report, said)
    return report, ended


def _stop_with(pid: int) -> None:
    """Ctrl-Z went to the program too. If that stops it, we stop, so that the shell has its job back."""
    threading.Thread(target=_stop_when_stopped, args=(pid,), daemon=True).start()


def _stop_when_stopped(pid: int) -> None:
    try:
        news = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        return
    if news is not None and news.si_code == os.CLD_STOPPED:
        os.kill(os.getpid(), signal.SIGSTOP)
