"""`lastwords report`: a saved report again, judged anew by this version's diagnoses."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from lastwords.cli.commands import help_settings
from lastwords.cli.output import verbosity_options
from lastwords.cli.reports import Outputs, deliver, each_option, native_option, report_options
from lastwords.errors import SetupError
from lastwords.report.json_report import decode

if TYPE_CHECKING:
    from lastwords.model import Report
    from lastwords.report.layout import Native

EPILOG = """
\b
Example:
  lastwords run --json crash.json -- python app.py
  lastwords report crash.json
"""


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.argument("file")
@report_options
@native_option
@each_option
@verbosity_options
def command(file: str, outputs: Outputs, native: Native) -> int | None:
    """Show the report saved in FILE (- is stdin). Its findings are made again from what it holds."""
    report = read_report(file)
    deliver(report, replace(outputs, default="stdout", native=native))
    return outputs.exit_code(report)


def read_report(file: str) -> Report:
    """The report in a file, or on stdin for `-`. Raises SetupError (unreadable), TargetError (not a report of ours)."""
    return decode(_read(file), "stdin" if file == "-" else file)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise SetupError(f"cannot read {file}: {error.strerror}", f"ls -l {shlex.quote(file)}") from error
