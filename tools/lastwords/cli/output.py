"""What is printed, and where: results on stdout, messages on stderr, colour only where somebody looks."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any, TypeVar

import click

from lastwords.errors import SetupError

VERBOSITY = "lastwords.verbosity"

Command = TypeVar("Command", bound=Callable[..., Any])


def verbosity_options(function: Command) -> Command:
    """Adds `-v` and `-q` to a command; `verbosity()` tells what was asked."""
    verbose = click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_more, help="Say more; twice for still more."
    )
    quiet = click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, callback=_less, help="Say nothing when there is nothing."
    )
    return verbose(quiet(function))


def _more(ctx: click.Context, _: click.Parameter, count: int) -> None:
    if count:
        ctx.meta.setdefault(VERBOSITY, count)  # the command line's comes before that of a file or a variable


def _less(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.meta.setdefault(VERBOSITY, -1)


def verbosity() -> int:
    """-1 with `--quiet`, else how often `-v` was given to the command that runs."""
    context = click.get_current_context(silent=True)
    return context.meta.get(VERBOSITY, 0) if context else 0


def wants_colour(stream: IO[str] | None) -> bool:
    """True for a terminal, unless TERM says dumb; for anything with FORCE_COLOR; for nothing with NO_COLOR.

    As CPython's own tracebacks do it (Lib/_colorize.py), https://no-color.org, https://force-color.org.
    """
    if stream is None or os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def print_messages(lines: Iterable[str]) -> None:
    """Writes to stderr; a stderr that is closed or broken is nobody who could be told."""
    if sys.stderr is None:
        return
    try:
        for line in lines:
            print(line, file=sys.stderr)  # noqa: T201 (this is the one that prints)
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def print_result(lines: Iterable[str]) -> None:
    """Writes lines to stdout. A reader that went away (`| head`) is no error; a full disk is a SetupError."""
    print_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))


def print_bytes(content: bytes) -> None:
    """Writes to stdout as it is, whatever the locale's encoding. Errors as in `print_result`."""
    if sys.stdout is None:
        raise SetupError("stdout is closed; there is nowhere to write the result", "lastwords ... > FILE")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        _drop_stdout()
        if error.errno != errno.EPIPE:
            fact = f"cannot write to stdout: {error.strerror}; the output is incomplete"
            raise SetupError(fact, "ls -l /proc/self/fd/1") from error


def _drop_stdout() -> None:
    """What is still buffered must not fail once more when the interpreter flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
