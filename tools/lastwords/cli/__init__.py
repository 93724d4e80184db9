"""The command line. One file per sub-command; `main` is the only place where an error becomes an exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence

from lastwords.cli.memory import is_for_memory, say_memory
from lastwords.collector import all_kept, end_at_once, own_process


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code (see `errors.ExitCode`); `args` are sys.argv's by default.

    Messages go to stderr, and nothing else does. Ctrl-C kills this process by SIGINT, as it would any program.
    """
    if args is not None:
        return _run(list(args))
    own_process()
    code = _run(sys.argv[1:])
    end_at_once(code)
    return code


def _run(arguments: list[str]) -> int:
    try:
        return _load()(arguments)
    except KeyboardInterrupt:
        return _die_by_sigint()
    except MemoryError:
        pass  # from here on nothing is kept that it held
    gc.collect()
    return say_memory()


def _load() -> Callable[[list[str]], int]:
    """What runs a command. Ctrl-C, or too little memory, may come while it is loaded."""
    try:
        with all_kept():
            from lastwords.cli.entry import run  # noqa: PLC0415
    except Exception as error:
        if is_for_memory(error):
            raise MemoryError from None
        raise
    return run


def _die_by_sigint() -> int:
    """Ends as Ctrl-C ends a program, so that the shell sees it; 130 only where the signal is blocked."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return 128 + signal.SIGINT
