"""One run of a command: what leaves it as an error is printed, and becomes an exit code."""

from __future__ import annotations

import os

import click

from lastwords.cli.commands import lastwords
from lastwords.cli.memory import is_for_memory
from lastwords.cli.output import print_messages

COMPLETE_VARIABLE = "_LASTWORDS_COMPLETE"


def run(arguments: list[str]) -> int:
    """The exit code. Raises KeyboardInterrupt, and MemoryError, for which nothing more can be done here."""
    try:
        return _run(arguments)
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        return 0
    except MemoryError:
        raise
    except Exception as error:
        if is_for_memory(error):
            raise MemoryError from None
        from lastwords.cli.failures import describe_failure  # noqa: PLC0415 (start-up time)

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
