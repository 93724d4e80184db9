"""`lastwords run` as a user starts it, and what a program printed of its exceptions, as data: the ground truth."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import PATIENCE, running
from lastwords.model import Caught, Frame, Report, from_json

_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+)(?:, in (?P<function>.*))?$')
_ABOVE = ("Exception ", "Error in ", "Unhandled exception ")
Line = tuple[str | None, int | None, str | None]


@dataclass(frozen=True)
class Watched:
    """A run that is over: `code` as `Target.wait` gives it, what the program said, and the report."""

    code: int
    stdout: str
    stderr: str
    report: Report
    seconds: float

    def find(self, text: str) -> list[Caught]:
        """The records of exceptions whose only argument is this string."""
        wanted = (repr(text), f"u{text!r}")
        return [
            one for one in self.report.exceptions
            if one.exception and [value.repr for value in one.exception.args][:1] in ([wanted[0]], [wanted[1]])
        ]  # fmt: skip

    def the(self, text: str) -> Caught:
        """The only one of these."""
        found = self.find(text)
        assert len(found) == 1, f"{text!r} is in the report {len(found)} times: {found}"
        return found[0]


def watch(
    command: Sequence[str | Path],
    directory: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
    timeout: float = PATIENCE,
) -> Watched:
    """Run `command` under `lastwords run`; its report is kept in `directory`. Everything started is ended."""
    document = directory / f"{len(list(directory.iterdir()))}.json"
    lastwords: list[str | Path] = [sys.executable, "-m", "lastwords", "run", "--json", document, *options, "--"]
    started = time.monotonic()
    with running([*lastwords, *command], env=env) as target:
        assert target.process.stdin is not None
        target.process.stdin.close()
        code = target.wait(timeout)
        seconds = time.monotonic() - started
        said = target.stdout.text, target.stderr.text
    assert document.exists(), f"no report: {said}"
    return Watched(code, *said, from_json(document.read_bytes()), seconds)


@dataclass
class Printed:
    """A traceback as an interpreter printed it: the line above it, its lines outermost first, its last line."""

    above: str | None
    name: str | None
    lines: list[Line] = field(default_factory=list)
    sources: list[str | None] = field(default_factory=list)
    last: str = ""


def read_printed(stderr: str) -> list[Printed]:
    """Every traceback on stderr, with the name of the `== NAME` line before it; 2.7's one-line messages, too."""
    found: list[Printed] = []
    name: str | None = None
    before = ""
    inside: Printed | None = None
    for line in stderr.splitlines():
        if line.startswith("== "):
            name, inside = line[3:], None
        elif line.startswith("Exception ") and line.endswith(" ignored"):
            found.append(Printed(line, name))
        elif line == "Traceback (most recent call last):":
            inside = Printed(before if before.startswith(_ABOVE) else None, name)
            found.append(inside)
        elif inside is not None:
            inside = _add_line(inside, line)
        before = line
    return found


def _add_line(inside: Printed, line: str) -> Printed | None:
    """One more line of a traceback; None after its last."""
    if frame := _FRAME.match(line):
        inside.lines.append((frame["file"], int(frame["line"]), frame["function"]))
        inside.sources.append(None)
    elif line.startswith("    ") and inside.sources and inside.sources[-1] is None:
        inside.sources[-1] = line.strip()
    elif not line.startswith(" "):
        inside.last = line
        return None
    return inside


def lines_of(frames: Sequence[Frame]) -> list[Line]:
    """A report's traceback in the order and with the words in which the interpreter prints it."""
    return [(frame.file, frame.line, frame.function) for frame in reversed(frames)]


def sources_of(frames: Sequence[Frame]) -> list[str | None]:
    """The text of its lines, outermost first."""
    return [frame.source for frame in reversed(frames)]


def functions_of(frames: Sequence[Frame]) -> list[str]:
    """The names of the functions of a C stack, innermost first; those without a name are left out."""
    return [frame.function for frame in frames if frame.function]
