"""`lastwords snapshot`: one moment of a live process as a small core file."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import click

from lastwords.cli.attach import complete_code, is_complete
from lastwords.cli.commands import help_settings
from lastwords.cli.output import print_messages, verbosity, verbosity_options
from lastwords.cli.reports import pause_options

EPILOG = """
\b
Examples:
  lastwords snapshot 4711
  lastwords snapshot 4711 -o hang.core --bundle
  lastwords snapshot 4711 -o - | ssh host 'cat > hang.core'
  lastwords core hang.core
"""
STDOUT = "-"


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.argument("pid", type=click.IntRange(min=1))
@click.option("-o", "--output", metavar="FILE", help="Where to write (- is stdout); else lastwords-PID-TIME.core.")
@click.option("--bundle", is_flag=True, help="Pack the program and its libraries too, for a machine without them.")
@click.option("--locals", "with_locals", is_flag=True, help="Keep local variables; they may hold secrets.")
@pause_options
@verbosity_options
def command(  # noqa: PLR0913, PLR0917 (one for each option)
    pid: int, output: str | None, bundle: bool, with_locals: bool, no_pause: bool, no_interrupt: bool
) -> int | None:
    """Keep one moment of process PID in a small core file, mode 0600.

    `lastwords core FILE` shows later, or on another machine, what `attach` shows
    now; gdb and drgn open it too. FILE is there as a whole or not at all; it
    replaces one that is there.
    """
    from lastwords.capture.snapshot import bundle as bundles  # noqa: PLC0415 (start-up time of `snapshot -h`)
    from lastwords.capture.snapshot.output import check_output, check_stdout, writing  # noqa: PLC0415
    from lastwords.capture.snapshot.write import write_snapshot  # noqa: PLC0415
    from lastwords.cpython.refusals import refuse_ourselves  # noqa: PLC0415
    from lastwords.examine import Options  # noqa: PLC0415
    from lastwords.examine.snapshot import take_snapshot  # noqa: PLC0415

    refuse_ourselves(pid)
    path = None if output == STDOUT else Path(output or time.strftime(f"lastwords-{pid}-%Y%m%dT%H%M%S.core"))
    check_stdout() if path is None else check_output(path)
    taken = take_snapshot(pid, Options(locals=with_locals, interrupt=not no_interrupt), pause=not no_pause)
    with writing(path) as file:
        size = write_snapshot(taken.captured, taken.owner, taken.note, file, bundled=bundle)
        missing = bundles.pack(taken.captured.pid or pid, taken.captured.maps, taken.names, file) if bundle else []
    written = path.stat().st_size if path and path.is_file() else size
    problems = taken.report.moments[0].capture.problems + [f"{one} is not to be had, and not packed" for one in missing]
    if verbosity() >= 0:
        print_messages(describe(path, written, taken.note.method, problems, size if bundle else None))
    return complete_code(is_complete(taken.report) and not missing)


def describe(path: Path | None, size: int, method: str, problems: list[str], bundle: int | None) -> Iterator[str]:
    """What was written, what is missing in it, and what to do with it; `bundle` is where that begins."""
    name = shlex.quote(str(path or "FILE"))
    yield f"{path or 'stdout'}: {size / 1e6:.1f} MB, {method}"
    for problem in problems:
        yield f"  {problem}"
    yield f"  lastwords core {name}"
    if bundle is not None:
        yield f"  tail -c +{bundle + 1} {name} | tar xz -C DIRECTORY    # for gdb: set sysroot DIRECTORY"
