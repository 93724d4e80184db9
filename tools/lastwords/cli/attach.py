"""`lastwords attach`: what a live process is doing, from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from lastwords.cli.commands import help_settings
from lastwords.cli.output import verbosity_options
from lastwords.cli.reports import Outputs, deliver, each_option, native_option, pause_options, report_options
from lastwords.collector import all_kept
from lastwords.errors import ExitCode
from lastwords.model import Report

if TYPE_CHECKING:
    from lastwords.report.layout import Native

EPILOG = """
\b
Examples:
  lastwords attach 4711
  lastwords attach 4711 --locals
  lastwords attach 4711 --json report.json
  lastwords attach --tree 4711     a server with its workers
"""


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.argument("pid", type=click.IntRange(min=1))
@report_options
@click.option("--locals", "with_locals", is_flag=True, help="Show local variables; they may hold secrets.")
@native_option
@each_option
@click.option("--tree", is_flag=True, help="Also all processes below it, at nearly one moment.")
@pause_options
@verbosity_options
def command(  # noqa: PLR0913, PLR0917 (one for each option)
    pid: int, outputs: Outputs, with_locals: bool, native: Native, tree: bool, no_pause: bool, no_interrupt: bool
) -> int | None:
    """Show what every thread of process PID is doing, what it waits for, and who holds that.

    The process is stopped for milliseconds, read from outside, and left as it was; no code runs in it.
    """
    with all_kept():
        from lastwords.cpython.refusals import refuse_ourselves  # noqa: PLC0415 (start-up time of `attach -h`)
        from lastwords.examine import Options, attach_process  # noqa: PLC0415

        refuse_ourselves(pid)
        options = Options(
            locals=with_locals, native=native != "none", native_each=native == "all", interrupt=not no_interrupt
        )
        if tree:
            from lastwords.examine.tree import attach_tree  # noqa: PLC0415

            report = attach_tree(pid, options, pause=not no_pause)
        else:
            report = attach_process(pid, options, pause=not no_pause)
        deliver(report, replace(outputs, default="stdout", native=native))
        if options.native:
            from lastwords.native.names import keep_names  # noqa: PLC0415

            keep_names()
    return outputs.exit_code(report) or complete_code(is_complete(report))


def is_complete(report: Report) -> bool:
    """Whether everything could be read."""
    return not report.problems and all(moment.capture.complete for moment in report.moments)


def complete_code(complete: bool) -> int | None:
    """5 where something could not be read, else None."""
    return None if complete else ExitCode.INCOMPLETE
