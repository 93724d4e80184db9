"""`lastwords ps`: the Python processes of this machine, and which of them `attach` may read."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence

import click

from lastwords.capture.kernel.peers import format_argv
from lastwords.capture.python_processes import Found, PythonProcess, find_python_processes
from lastwords.cli.commands import help_settings
from lastwords.cli.output import print_bytes, print_messages, print_result, verbosity, verbosity_options
from lastwords.cli.reports import STDOUT
from lastwords.report.clean import clean
from lastwords.report.json_report import encode_plain, write_file

EPILOG = """
\b
Examples:
  lastwords ps
  sudo lastwords ps
  lastwords ps --json - | jq '.[] | select(.may_attach) | .pid'
"""
HEADINGS = ("PID", "PYTHON", "THREADS", "USER", "ATTACH", "COMMAND")
LONGEST = 100_000  # characters of a command line that is not shortened to a terminal


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.option("--json", "json_file", metavar="FILE", help="Write the list as JSON (- is stdout).")
@verbosity_options
def command(json_file: str | None) -> None:
    """List the Python processes here, and whether `attach` may read them.

    A process is Python by what it has mapped, whatever it is called. Nothing is stopped.
    """
    found = find_python_processes()
    if json_file:
        _write(json_file, found)
        if verbosity() >= 0:
            print_messages(format_unseen(found.unseen, os.geteuid()))
    else:
        print_result([*format_table(found.processes, _width()), *format_unseen(found.unseen, os.geteuid())])


def _write(path: str, found: Found) -> None:
    document = encode_plain(found.processes)
    if path == STDOUT:
        print_bytes(document)
    else:
        write_file(path, document)


def _width() -> int | None:
    """The terminal's; None where stdout is none, and nothing is shortened."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if is_terminal else None


def format_table(processes: Sequence[PythonProcess], width: int | None) -> Iterator[str]:
    """A line for each process, no wider than `width`; below them, why some may not be read, and what helps."""
    if not processes:
        yield "There is no other Python process here."
        return
    rows = [HEADINGS, *(_row(one) for one in processes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        numbers = f"{row[0]:>{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  "
        line = f"{numbers}{row[3]:<{widths[3]}}  {row[4]:<{widths[4]}}  {row[5]}"
        yield line if width is None or len(line) <= width else f"{line[: max(width - 3, 0)]}..."
    yield from _format_obstacles(processes)


def _row(one: PythonProcess) -> tuple[str, ...]:
    version = one.version or "?"
    python = "PyPy" if one.implementation == "PyPy" else version
    command = clean(format_argv(one.argv, LONGEST))
    return (str(one.pid), python, str(one.threads), clean(one.user), "yes" if one.may_attach else "no", command)


def _format_obstacles(processes: Sequence[PythonProcess]) -> Iterator[str]:
    """Each reason once, with the processes that it holds for, and the command that helps the first of them."""
    facts: dict[str, list[PythonProcess]] = {}
    for one in processes:
        if one.obstacle is not None:
            facts.setdefault(one.obstacle, []).append(one)
    for fact, several in facts.items():
        yield ""
        yield f"{', '.join(str(one.pid) for one in several)}: {fact}"
        yield f"  {several[0].mend}"


def format_unseen(count: int, user: int) -> Iterator[str]:
    """How many processes `user` may not look at, so that nobody knows what they are."""
    if count:
        yield ""
        yield f"{count} {'process' if count == 1 else 'processes'} may not be looked at by user {user}."
        if user:
            yield "  sudo lastwords ps"
