"""`lastwords attach`: what a live process is doing, from outside."""

from __future__ import annotations

from dataclasses import replace

import click

from lastwords.cli.commands import help_settings
from lastwords.cli.output import verbosity_options
from lastwords.cli.reports import Outputs, deliver, report_options
from lastwords.errors import ExitCode

EPILOG = """
\b
Examples:
  lastwords attach 4711
  lastwords attach 4711 --locals
  lastwords attach 4711 --json report.json
"""


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.argument("pid", type=click.IntRange(min=1))
@report_options
@click.option("--locals", "with_locals", is_flag=True, help="Show local variables; they may hold secrets.")
@click.option("--no-pause", is_flag=True, help="Do not stop the process; what moved meanwhile is marked.")
@verbosity_options
def command(pid: int, outputs: Outputs, with_locals: bool, no_pause: bool) -> int | None:
    """Show what every thread of process PID is doing, what it waits for, and who holds that.

    The process is stopped for milliseconds, read from outside, and left as it was; no code runs in it.
    """
    from lastwords.examine import Options, attach_process  # noqa: PLC0415 (start-up time of `attach -h`)

    report = attach_process(pid, Options(locals=with_locals), pause=not no_pause)
    deliver(report, replace(outputs, default="stdout"))
    return outputs.exit_code(report) or complete_code(report.moments[0].capture.complete)


def complete_code(is_complete: bool) -> int | None:
    """5 where something could not be read, else None."""
    return None if is_complete else ExitCode.INCOMPLETE
