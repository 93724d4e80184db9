"""`lastwords run`: what a program swallows, prints, dies of or hangs in, and why."""

from __future__ import annotations

import os

import click

from lastwords.capture.launch import end_as
from lastwords.cli.commands import help_settings
from lastwords.cli.failures import describe_failure
from lastwords.cli.hanging import Hangs, hang_options
from lastwords.cli.output import print_messages, verbosity_options
from lastwords.cli.reports import Outputs, report_options
from lastwords.cli.settings import ConfiguredCommand
from lastwords.errors import ExitCode, SetupError
from lastwords.watch import Limits, Options, run

EPILOG = """
\b
Examples:
  lastwords run -- python app.py
  lastwords run --json report.json -- gunicorn -w 4 app:app
  lastwords run --timeout 600 -- python -m pytest
  lastwords run --quiet --fail-on finding -- python -m pytest
"""


@click.command(cls=ConfiguredCommand, epilog=EPILOG, context_settings=help_settings(allow_interspersed_args=False))
@report_options
@click.option("--no-children", is_flag=True, help="Let forked children go: watch the program's own process only.")
@click.option("--no-agent", is_flag=True, help="Leave our module out of the program: no import chain, no trace.")
@click.option("--linger", default=0.0, metavar="SECONDS", help="Watch children that outlive the program that long.")
@hang_options
@verbosity_options
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def command(  # noqa: PLR0913, PLR0917 (one for each option)
    program: tuple[str, ...],
    outputs: Outputs,
    no_children: bool,
    no_agent: bool,
    linger: float,
    limits: Limits,
    actions: frozenset[str],
) -> None:
    """Run PROGRAM under gdb and report what it swallows, prints, dies of or hangs in.

    It has its own input, output, arguments, signals and exit code, as without us. The report comes at its end.
    Options may stand in pyproject.toml, [tool.lastwords], and in the environment: LASTWORDS_TIMEOUT=600.
    """
    hangs = Hangs(outputs, actions)
    options = Options(not no_children, not no_agent, linger, limits, hangs)
    ran = run(program, os.environ, options)
    if ran.trouble:
        print_messages(describe_failure(ran.trouble).lines)
    try:
        hangs.deliver(ran.report)
    except SetupError as error:  # the report is lost, the program's exit code is not
        print_messages(describe_failure(error).lines)
    code = ExitCode.TIMEOUT if ran.is_late else outputs.exit_code(ran.report)
    if code is not None:
        os._exit(code)
    end_as(ran.ended)
