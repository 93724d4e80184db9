"""`run --timeout` and `--hang-after`: what is told, kept and done when the program hangs."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from msgspec.structs import replace

from lastwords.cli.failures import describe_failure
from lastwords.cli.output import print_messages
from lastwords.cli.reports import STDOUT, Outputs, deliver
from lastwords.errors import LastwordsError, SetupError, UsageError
from lastwords.model import Report
from lastwords.watch import Hung, Limits
from lastwords.watch.options import GRACE_SECONDS

ACTIONS = ("report", "core", "gdb", "kill")


def _to_seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """A time that is over at some time, in the words of click's own types where it is none."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise click.BadParameter(f"{value!r} is no number of seconds above 0.")
    return seconds


def hang_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --timeout, --hang-after and --on-hang to a command, which gets them as `limits` and `actions`."""

    @wraps(function)
    def with_limits(
        *args: object, timeout: float | None, hang_after: float | None, on_hang: Sequence[str], **more: object
    ) -> object:
        if on_hang and timeout is None and hang_after is None and _is_on_command_line("on_hang"):
            fact = f"--on-hang {on_hang[0]} says what to do, but not when"
            raise UsageError(fact, "lastwords run --timeout 600 --on-hang ... -- PROGRAM")
        return function(*args, limits=Limits(timeout, hang_after), actions=frozenset(on_hang), **more)

    for option in (
        click.option(
            "--on-hang",
            type=click.Choice(ACTIONS),
            multiple=True,
            help="At a hang: only the report, a core, gdb, kill; may be given again. Default: kill after --timeout, "
            "else report.",
        ),
        click.option(
            "--hang-after", callback=_to_seconds, metavar="SECONDS", help="A hang: its exit gets nowhere so long."
        ),
        click.option(
            "--timeout", callback=_to_seconds, metavar="SECONDS", help="A hang: it runs so long; exit code 124."
        ),
    ):
        with_limits = option(with_limits)
    return with_limits


def _is_on_command_line(name: str) -> bool:
    """Not where it is the default of a project, which says nothing of this run."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


class Hangs:
    """Called with each hang of one run; whether the program is to be ended. `told`: exceptions in what was printed."""

    def __init__(self, outputs: Outputs, actions: frozenset[str]) -> None:
        self.outputs, self.actions = outputs, actions
        self.told: int | None = None

    def __call__(self, hung: Hung) -> bool:
        """Tells it, keeps it, opens it, as was asked for."""
        actions = self.actions or ({"kill"} if hung.hang.kind == "timeout" else {"report"})
        self._tell(hung.report)
        print_messages([f"lastwords: {hung.hang.fact}; {_say_what_comes(actions)}"])
        pids = _python_pids(hung)
        for pid in pids if "core" in actions else ():
            print_messages(_keep(pid))
        if "gdb" in actions:
            _open_gdb(hung.hang.pid if hung.hang.pid in pids else next(iter(pids), None))
        return "kill" in actions

    def _tell(self, report: Report) -> None:
        """As text on stderr, now; and into the files that were named, in case there is no later."""
        self.told = len(report.exceptions)
        deliver(report, replace(self.outputs, json=None, text=None))
        json, text = (None if name == STDOUT else name for name in (self.outputs.json, self.outputs.text))
        if json or text:
            _deliver_again(report, replace(self.outputs, json=json, text=text))

    def deliver(self, report: Report) -> None:
        """The report at the end, but for a text on stderr that would say again what was told. Raises SetupError."""
        if self.told != len(report.exceptions) or self.outputs.json or self.outputs.text:
            deliver(report, self.outputs)


def _say_what_comes(actions: AbstractSet[str]) -> str:
    if "kill" in actions:
        return f"it is ended: TERM, and KILL {GRACE_SECONDS:g} s later"
    return "gdb shall have it" if "gdb" in actions else "it goes on"


def _deliver_again(report: Report, outputs: Outputs) -> None:
    """A file that cannot be written is told, and no more: the program hangs."""
    try:
        deliver(report, outputs)
    except SetupError as error:
        print_messages(describe_failure(error).lines)


def _python_pids(hung: Hung) -> list[int]:
    pids = {process.id: process.pid for process in hung.report.processes if process.python}
    return [pids[moment.process] for moment in hung.moments if moment.process in pids]


def _keep(pid: int) -> Iterator[str]:
    """Writes a snapshot beside us; what to do with it, or why there is none."""
    from lastwords.capture.snapshot.output import check_output, writing  # noqa: PLC0415 (only here)
    from lastwords.capture.snapshot.write import write_snapshot  # noqa: PLC0415
    from lastwords.cli.snapshot import describe  # noqa: PLC0415
    from lastwords.examine import Options  # noqa: PLC0415
    from lastwords.examine.snapshot import take_snapshot  # noqa: PLC0415

    path = Path(time.strftime(f"lastwords-{pid}-%Y%m%dT%H%M%S.core"))
    try:
        check_output(path)
        taken = take_snapshot(pid, Options())
        with writing(path) as file:
            size = write_snapshot(taken.captured, taken.owner, taken.note, file)
        yield from describe(path, size, taken.note.method, taken.report.moments[0].capture.problems, None)
    except LastwordsError as error:
        yield from describe_failure(error).lines


def _open_gdb(pid: int | None) -> None:
    """Until the user leaves it. The signals that are ours to pass on are blocked here, but not there."""
    if pid is None or not (os.isatty(0) and os.isatty(1)):
        why = "none of its processes is Python" if pid is None else "stdin and stdout are no terminal"
        print_messages([f"lastwords: no gdb was opened: {why}"])
        return
    command = [sys.executable, "-m", "lastwords", "gdb", str(pid)]
    subprocess.run(command, check=False, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, ()))
