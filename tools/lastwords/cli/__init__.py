"""The command line. One file per sub-command; `main` is the only place where an error becomes an exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence

from lastwords.collector import all_kept, end_at_once, own_process
from lastwords.errors import ExitCode


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
        with all_kept():  # Ctrl-C, or too little memory, may come while it is loaded
            from lastwords.cli.entry import run  # noqa: PLC0415

        return run(arguments)
    except KeyboardInterrupt:
        return _die_by_sigint()
    except MemoryError:
        pass  # from here on nothing is kept that it held
    gc.collect()
    return _say_memory()


def _say_memory() -> int:
    """Too little memory, said with next to none."""
    words = _read_limits().split("Max address space")[-1].split()
    if words and words[0].isdecimal():
        fact = f"its memory is limited to {int(words[0]) >> 20} MB (ulimit -v), which is too little"
        mend = "ulimit -v unlimited"
    else:
        fact, mend = "the machine has too little memory left", "free -m"
    os.write(2, f"lastwords: {fact}.\n  {mend}\n".encode())
    return int(ExitCode.SETUP)


_limits = bytearray(4096)  # made while there is memory


def _read_limits() -> str:
    try:
        fd = os.open("/proc/self/limits", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        size = os.readv(fd, [_limits])
        return _limits[:size].decode()
    finally:
        os.close(fd)


def _die_by_sigint() -> int:
    """Ends as Ctrl-C ends a program, so that the shell sees it; 130 only where the signal is blocked."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return 128 + signal.SIGINT
