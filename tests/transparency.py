"""One program bare, under `lastwords run` and under `lastwords trace`, and what its parent sees of it each time.

assert outcome("run", program, tmp_path) == outcome("bare", program, tmp_path)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import PATIENCE

MODES = ("run", "trace")
_OUR_LINE = b"lastwords: "


@dataclass(frozen=True)
class Outcome:
    """Both outputs, and the status as subprocess gives it: negative, the signal that ended it."""

    stdout: bytes
    stderr: bytes
    status: int


def command_line(mode: str, program: Sequence[str | Path], directory: Path) -> list[str]:
    """The program's command line under `mode`; the report goes into `directory`, not to stderr."""
    bare = [str(word) for word in program]
    if mode == "bare":
        return bare
    return [sys.executable, "-m", "lastwords", mode, "--quiet", "--json", str(directory / f"{mode}.json"), "--", *bare]


def default_signals() -> None:
    """Ctrl-C and Ctrl-\\ as in a terminal, even where the tests run in the background of a shell."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def outcome(
    mode: str,
    program: Sequence[str | Path],
    directory: Path,
    stdin: bytes | int = b"",
    environ: Mapping[str, str] | None = None,
    prepare: Callable[[], None] = default_signals,
) -> Outcome:
    """Run it to its end, with pipes; `prepare` is called in the child before its exec. Everything is ended."""
    process = subprocess.Popen(
        command_line(mode, program, directory),
        stdin=subprocess.PIPE if isinstance(stdin, bytes) else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ if environ is None else environ),
        cwd=directory,
        start_new_session=True,
        close_fds=False,  # what `prepare` opens is for the program; the rest is not inheritable anyway
        preexec_fn=prepare,  # noqa: PLW1509  # nothing else runs in this process
    )
    try:
        out, err = process.communicate(stdin if isinstance(stdin, bytes) else None, timeout=PATIENCE)
    finally:
        end(process)
    return Outcome(out, without_ours(err), process.returncode)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the session that was made for it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def without_ours(stderr: bytes) -> bytes:
    """`trace` says on stderr what it could not see (no hunter in that Python); each such line begins with our name."""
    return b"".join(line for line in stderr.splitlines(keepends=True) if not line.startswith(_OUR_LINE))
