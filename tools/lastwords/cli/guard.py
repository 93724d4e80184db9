"""`lastwords guard`: fail where gevent patched a module that had been imported before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import click

from lastwords.capture.launch import end_as
from lastwords.capture.watched import Watched, watch
from lastwords.cli.commands import help_settings
from lastwords.cli.output import print_messages, verbosity, verbosity_options
from lastwords.diagnose.patches import TooLate, patched_too_late
from lastwords.errors import ExitCode
from lastwords.model import Frame
from lastwords.report.clean import clean

EPILOG = """
\b
Examples:
  lastwords guard -- python app.py
  lastwords guard --ignore time -- gunicorn app:app
Inside a program, after it has patched:
  import lastwords.guard; lastwords.guard.check()
"""


@click.command(epilog=EPILOG, context_settings=help_settings(allow_interspersed_args=False))
@click.option("--ignore", multiple=True, metavar="MODULE", help="A module that may be imported early; repeatable.")
@verbosity_options
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def command(program: tuple[str, ...], ignore: tuple[str, ...]) -> int:
    """Run PROGRAM; exit with 70 if a module that gevent patches was imported before the patch.

    Imports by gevent itself and by the interpreter's own start do not count. Else ends as the program ends.
    """
    watched = watch(program, os.environ)
    late = [one for one in patched_too_late(watched.report) if one.module not in ignore]
    if late:
        print_messages(format_verdict(late))
        return int(ExitCode.FINDING)
    if verbosity() >= 0:
        print_messages(_reservations(watched))
    return end_as(watched.ended)


def format_verdict(late: Iterable[TooLate]) -> Iterator[str]:
    """Who imported each module, the whole chain, and where the patch came."""
    for one in late:
        yield f"lastwords: {clean(one.module)} was imported before gevent patched it"
        if one.imported.first_importer:
            yield "  imported, innermost first:"
            yield from map(_line, one.imported.first_importer)
        else:
            yield "  imported before any sitecustomize: by a .pth file or by site itself"
        if one.patch_at is not None:
            yield "  patched:"
            yield _line(one.patch_at)
    yield "  help: patch first; put these two lines above every other import of the program's main file:"
    yield "    from gevent import monkey"
    yield "    monkey.patch_all()"


def _line(frame: Frame) -> str:
    source = f"  {clean(frame.source)}" if frame.source else ""
    return f"    {clean(frame.file or '?')}:{frame.line}{source}"


def _reservations(watched: Watched) -> Iterator[str]:
    """What the verdict does not rest on: a program in which the agent did not run is not known to be in order."""
    processes = watched.report.processes
    if not any(process.executable for process in processes):
        yield f"lastwords: imports were not watched, so this says nothing; the agent: {processes[0].agent}"
    for problem in watched.unseen:
        yield f"lastwords: {problem}"
