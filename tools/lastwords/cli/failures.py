"""What a user sees of an error: `lastwords: fact`, then the lines to paste, and the exit code."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from lastwords.errors import ExitCode, LastwordsError


@dataclass(frozen=True)
class Failure:
    """An error as it is shown."""

    lines: list[str]
    exit_code: int


def describe_failure(error: Exception) -> Failure:
    """The lines and the exit code for any exception that left a command; what is not ours to expect is a bug."""
    if isinstance(error, LastwordsError):
        return Failure(format_error(error.fact, error.help), int(error.exit_code))
    if isinstance(error, click.UsageError):
        return Failure(format_error(*_usage(error)), int(ExitCode.USAGE))
    if isinstance(error, click.ClickException):
        return Failure(format_error(error.format_message(), ""), int(ExitCode.USAGE))
    return Failure(_describe_bug(error), int(ExitCode.BUG))


def format_error(fact: str, help: str) -> list[str]:
    """The shape of every error: the fact, then what to paste, indented."""
    return [f"lastwords: {fact}", *(f"  {line}" for line in help.splitlines())]


def _usage(error: click.UsageError) -> tuple[str, str]:
    command = error.ctx.command_path if error.ctx else "lastwords"
    return _usage_fact(error), f"{command} -h"


def _usage_fact(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        near = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
        return f"no such option: {error.option_name}{near}"
    message = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def _describe_bug(error: Exception) -> list[str]:
    """Our own bug: short, with the place of the details; the traceback itself only if LASTWORDS_DEBUG is set."""
    import traceback  # noqa: PLC0415 (start-up time: only bugs need it)

    details = "".join(traceback.format_exception(error))
    summary = f"a bug in lastwords: {type(error).__name__} at {_place(error)}"
    if os.environ.get("LASTWORDS_DEBUG"):
        return [*format_error(summary, ""), *details.splitlines()]
    try:
        where = f"please report it with its details, which are in {_save(details)}"
    except OSError as failure:
        where = f"the details could not be saved ({failure.strerror})"
    return format_error(f"{summary}; {where}", "LASTWORDS_DEBUG=1 lastwords ...")


def _place(error: Exception) -> str:
    import traceback  # noqa: PLC0415 (start-up time: only bugs need it)

    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


def _save(details: str) -> str:
    """Writes the details to a file of the user's alone (mode 0600) and returns its path. Raises OSError."""
    import tempfile  # noqa: PLC0415 (start-up time: only bugs need it)

    descriptor, path = tempfile.mkstemp(prefix="lastwords-bug-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{sys.version}\n{' '.join(map(ascii, sys.argv))}\n\n{details}")
    return path
