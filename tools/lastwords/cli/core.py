"""`lastwords core`: what a process was doing when it died, from its core file."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from lastwords.cli.attach import complete_code
from lastwords.cli.commands import help_settings
from lastwords.cli.output import print_messages, verbosity, verbosity_options
from lastwords.cli.reports import Outputs, deliver, each_option, native_option, report_options

if TYPE_CHECKING:
    from lastwords.report.layout import Native

EPILOG = """
\b
Examples:
  lastwords core core.4711
  lastwords core core.4711.zst --json report.json
  lastwords core core ./python3.11     a core of another machine
  lastwords core                       the newest that was kept here
  lastwords core 4711                  the newest of process 4711
"""


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.argument("file", metavar="[FILE|PID]", required=False)
@click.argument("executable", required=False)
@report_options
@click.option("--locals", "with_locals", is_flag=True, help="Show local variables; they may hold secrets.")
@native_option
@each_option
@verbosity_options
def command(
    file: str | None, executable: str | None, outputs: Outputs, with_locals: bool, native: Native
) -> int | None:
    """Show what every thread was doing when the core FILE was made.

    FILE may be compressed (gzip, bzip2, xz, zstd, lz4). EXECUTABLE is the program
    (or libpython) of that core, where it is not in its place on this machine.
    Without FILE, or with a PID, the newest core is looked for: that of
    systemd-coredump, or a file by core_pattern.
    """
    from lastwords.examine import Options  # noqa: PLC0415 (start-up time of `core -h`)
    from lastwords.examine.core import read_core_report  # noqa: PLC0415

    options = Options(locals=with_locals, native=native != "none", native_each=native == "all")
    with ExitStack() as cleanup:
        path = Path(file) if file and not _is_pid(file) else _find(int(file) if file else None, cleanup)
        report = read_core_report(path, Path(executable) if executable else None, options)
    deliver(report, replace(outputs, default="stdout", native=native))
    if options.native:
        from lastwords.native.names import keep_names  # noqa: PLC0415

        keep_names()
    return outputs.exit_code(report) or complete_code(report.moments[0].capture.complete)


def _is_pid(word: str) -> bool:
    return word.isdecimal() and not Path(word).exists()


def _find(pid: int | None, cleanup: ExitStack) -> Path:
    """The newest core, said on stderr."""
    from lastwords.capture.core.found import find_core, make_folder, take_out  # noqa: PLC0415

    found = find_core(pid)
    if verbosity() >= 0:
        whose = "" if found.pid is None else f" of process {found.pid}{f' ({found.name})' if found.name else ''}"
        age = _format_age(max(time.time() - found.time, 0))
        place = str(found.path) if found.path else "what coredumpctl keeps"
        print_messages([f"lastwords: the newest core{whose}, {age} old: {place}"])
    return take_out(found, Path(cleanup.enter_context(make_folder())))


def _format_age(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
