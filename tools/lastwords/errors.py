"""The three kinds of error, kept apart.

    LastwordsError              what a user sees: one message, an exit code, and how to mend it
    |-- SetupError       (4)    the user's set-up: gdb, permission, an interpreter without hunter
    |-- TargetError      (3)    the target's state: no such process, not Python, already traced
    |-- UsageError       (2)    the command line
    `-- ProgramError (126, 127) `run`: the program cannot be executed, or is not there

Anything else that leaves `main()` is a bug of ours (125). A message gives the fact with its value, what
follows, and in `help` the command to paste. Only the command line prints them.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Documented in README.md; `run`, `trace` and `guard` else end as the program did."""

    OK = 0
    USAGE = 2
    TARGET = 3
    SETUP = 4
    INCOMPLETE = 5
    FINDING = 70
    TIMEOUT = 124
    BUG = 125
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127


class LastwordsError(Exception):
    """A message for the user: `fact` (with its value and what follows) and `help` (what to paste)."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, fact: str, help: str = "") -> None:
        super().__init__(fact)
        self.fact = fact
        self.help = help


class SetupError(LastwordsError):
    """Something is missing or forbidden on the user's side."""

    exit_code = ExitCode.SETUP


class TargetError(LastwordsError):
    """The target is not in a state in which it can be read."""

    exit_code = ExitCode.TARGET


class UsageError(LastwordsError):
    """The command line asks for something that cannot be."""

    exit_code = ExitCode.USAGE


class NotExecutableError(LastwordsError):
    """`run`: the program is there but cannot be executed."""

    exit_code = ExitCode.NOT_EXECUTABLE


class NotFoundError(LastwordsError):
    """`run`: there is no such program."""

    exit_code = ExitCode.NOT_FOUND
