"""The command line. One file per sub-command; `main` is the only place where an error becomes an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from lastwords.cli.commands import lastwords
from lastwords.cli.failures import describe_failure
from lastwords.cli.output import print_messages

COMPLETE_VARIABLE = "_LASTWORDS_COMPLETE"


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code (see `errors.ExitCode`); `args` are sys.argv's by default.

    Messages go to stderr, and nothing else does. Ctrl-C kills this process by SIGINT, as it would any program.
    """
    arguments = sys.argv[1:] if args is None else list(args)
    try:
        return _run(arguments)
    except (KeyboardInterrupt, click.Abort):
        return _die_by_sigint()
    except BrokenPipeError:
        return 0
    except Exception as error:
        failure = describe_failure(error)
        print_messages(failure.lines)
        return failure.exit_code


def _run(arguments: list[str]) -> int:
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete  # noqa: PLC0415 (only a shell asks for it)

        return shell_complete(lastwords, {}, "lastwords", COMPLETE_VARIABLE, instruction)
    try:
        with lastwords.make_context("lastwords", arguments) as context:
            result = lastwords.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return result if isinstance(result, int) else 0


def _die_by_sigint() -> int:
    """Ends as Ctrl-C ends a program, so that the shell sees it; 130 only where the signal is blocked."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return 128 + signal.SIGINT
