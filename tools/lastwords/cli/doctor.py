"""`lastwords doctor`: what is here, what is missing, and the command that mends it."""

from __future__ import annotations

import sys

import click

from lastwords.cli.check import format_checks
from lastwords.cli.checks import check_interpreter, check_machine, check_target
from lastwords.cli.commands import help_settings
from lastwords.cli.machine import read_interpreter, read_machine, read_target
from lastwords.cli.output import print_result, verbosity_options
from lastwords.errors import ExitCode

EPILOG = """
\b
Examples:
  lastwords doctor
  lastwords doctor --python /usr/bin/python3
  lastwords doctor 4711
"""


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.argument("pid", type=int, metavar="PID", required=False)
@click.option("--python", metavar="PATH", help="Look at this interpreter instead of the one that runs lastwords.")
@verbosity_options
def command(pid: int | None, python: str | None) -> int:
    """Say what is here, what is missing, and the command that mends it.

    With PID: whether that process is a Python, what is known of its symbols and of its core, whether lastwords may
    attach to it, and if not, why, and which flag is missing. Every fact is followed by where it was read. Exits
    with 4 if something is missing.
    """
    machine = read_machine()
    checks = list(check_machine(machine))
    if python is not None or pid is None:
        checks += check_interpreter(read_interpreter(python or sys.executable), machine.servers)
    if pid is not None:
        checks += check_target(machine, read_target(pid))
    print_result(format_checks(checks))
    return int(ExitCode.SETUP if any(check.state == "missing" for check in checks) else ExitCode.OK)
