"""Where a snapshot is written: a file of its owner's alone, there as a whole or not at all, or a pipe."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lastwords.errors import SetupError

MODE = 0o600


def check_output(path: Path) -> None:
    """Raises SetupError where nothing could be written: better before a process is stopped than afterwards."""
    folder = shlex.quote(str(path.parent))
    if path.is_dir():
        raise SetupError(f"{path} is a directory; a snapshot is one file", f"ls -ld {shlex.quote(str(path))}")
    if not path.parent.is_dir():
        raise SetupError(f"cannot write {path}: there is no directory {path.parent}", f"mkdir -p {folder}")
    if _is_special(path):
        if path.is_char_device() and _is_terminal(path):
            raise SetupError(f"{path} is a terminal; a snapshot is binary", "lastwords snapshot PID -o FILE")
    elif not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        raise SetupError(f"cannot write {path}: Permission denied in {path.parent}", f"ls -ld {folder}")


def check_stdout() -> None:
    """Raises SetupError where stdout is closed, or a terminal."""
    if sys.stdout is None:
        raise SetupError("stdout is closed; there is nowhere to write the snapshot", "lastwords snapshot PID -o FILE")
    if sys.stdout.isatty():
        raise SetupError("stdout is a terminal; a snapshot is binary", "lastwords snapshot PID -o FILE")


def _is_special(path: Path) -> bool:
    return path.exists() and not stat.S_ISREG(path.stat().st_mode)


def _is_terminal(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path | None) -> Iterator[BinaryIO]:
    """What is written inside the block stands in the file `path` when it is left; None is stdout.

    Raises SetupError where it cannot be written; a file that was there is then as it was.
    """
    try:
        if path is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif _is_special(path):
            with path.open("wb") as file:
                yield file
        else:
            yield from _replacing(path.resolve())
    except OSError as error:
        where, left = ("stdout", "; it is incomplete") if path is None else (str(path), "; it is not written")
        fact = f"cannot write the snapshot to {where}: {error.strerror or error}{left}"
        mend = "lastwords snapshot PID -o FILE" if path is None else f"df -h {shlex.quote(str(path.parent))}"
        raise SetupError(fact, mend) from error


def _replacing(target: Path) -> Iterator[BinaryIO]:
    """A file without a name as long as it is not complete: whatever ends us then, nothing is left behind."""
    draft = target.with_name(f".{target.name}-{os.urandom(6).hex()}")
    descriptor, is_named = _create(draft)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not is_named:
                os.link(f"/proc/self/fd/{descriptor}", draft, src_dir_fd=descriptor)  # or it would link the link
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _create(draft: Path) -> tuple[int, bool]:
    """A new file, and whether it has the name `draft`: not every file system has files without one."""
    try:
        return os.open(draft.parent, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, MODE), False
    except OSError:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(draft, flags, MODE), True
