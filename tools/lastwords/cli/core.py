"""`lastwords core`: what a process was doing when it died, from its core file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from lastwords.cli.attach import complete_code
from lastwords.cli.commands import help_settings
from lastwords.cli.output import verbosity_options
from lastwords.cli.reports import Outputs, deliver, native_option, report_options
from lastwords.report.layout import Native

EPILOG = """
\b
Examples:
  lastwords core core.4711
  lastwords core core.4711.zst --json report.json
  lastwords core core ./python3.11     a core of another machine
"""


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.argument("file")
@click.argument("executable", required=False)
@report_options
@click.option("--locals", "with_locals", is_flag=True, help="Show local variables; they may hold secrets.")
@native_option
@verbosity_options
def command(file: str, executable: str | None, outputs: Outputs, with_locals: bool, native: Native) -> int | None:
    """Show what every thread was doing when the core FILE was made.

    FILE may be compressed (gzip, bzip2, xz, zstd, lz4). EXECUTABLE is the program
    (or libpython) of that core, where it is not in its place on this machine.
    """
    from lastwords.examine import Options  # noqa: PLC0415 (start-up time of `core -h`)
    from lastwords.examine.core import read_core_report  # noqa: PLC0415

    options = Options(locals=with_locals, native=native != "none")
    report = read_core_report(Path(file), Path(executable) if executable else None, options)
    deliver(report, replace(outputs, default="stdout", native=native))
    return outputs.exit_code(report) or complete_code(report.moments[0].capture.complete)
