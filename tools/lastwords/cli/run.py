"""`lastwords run`: what a program swallows, prints or dies of, and why."""

from __future__ import annotations

import os

import click

from lastwords.capture.launch import end_as
from lastwords.cli.commands import help_settings
from lastwords.cli.failures import describe_failure
from lastwords.cli.output import print_messages, verbosity_options
from lastwords.cli.reports import Outputs, deliver, report_options
from lastwords.errors import SetupError
from lastwords.watch import Options, run

EPILOG = """
\b
Examples:
  lastwords run -- python app.py
  lastwords run --json report.json -- gunicorn -w 4 app:app
  lastwords run --quiet --fail-on finding -- python -m pytest
"""


@click.command(epilog=EPILOG, context_settings=help_settings(allow_interspersed_args=False))
@report_options
@click.option("--no-children", is_flag=True, help="Let forked children go: watch the program's own process only.")
@click.option("--no-agent", is_flag=True, help="Leave our module out of the program: no import chain, no trace.")
@click.option("--linger", default=0.0, metavar="SECONDS", help="Watch children that outlive the program that long.")
@verbosity_options
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def command(program: tuple[str, ...], outputs: Outputs, no_children: bool, no_agent: bool, linger: float) -> None:
    """Run PROGRAM under gdb and report what it swallows, prints or dies of.

    It has its own input, output, arguments, signals and exit code, as without us. The report comes at its end.
    """
    ran = run(program, os.environ, Options(children=not no_children, agent=not no_agent, linger=linger))
    if ran.trouble:
        print_messages(describe_failure(ran.trouble).lines)
    try:
        deliver(ran.report, outputs)
    except SetupError as error:  # the report is lost, the program's exit code is not
        print_messages(describe_failure(error).lines)
    code = outputs.exit_code(ran.report)
    if code is not None:
        os._exit(code)
    end_as(ran.ended)
