"""`make table`: what `lastwords run` gives for seven cases, each cell from the report of the run that it made.

    original   2.7, gevent 1.0.2: what the first investigator saw (tests/targets/investigation_original.py)
    today      the running CPython 3, the newest gevent (tests/targets/investigation_today.py)
    del callback generator thread atexit      on every interpreter found (tests/targets/swallows.py)

`yes` is a fact that was compared, `no` one that did not hold, `-` what there is not: 2.7 prints no traceback of what it
ignores, and a Python may have no hunter. `bare`: all frames, but none of the callers' names is exported. `ms`: how long
the program stood still (the first time in a process it includes finding the interpreter and reading libraries).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from environments import Environment, EnvironmentFailedError, environment_for, gevent_for, hunter_for
from harness import TARGETS
from interpreters import Interpreter, describe_python, find_interpreters, find_python
from lastwords.model import Caught, Report
from watching import Printed, Watched, functions_of, lines_of, read_printed, watch

CASES = ("del", "callback", "generator", "thread", "atexit")
COLUMNS = ("case", "python", "caught", "once", "message", "traceback", "C stack", "hunter tree", "ms")
WIDTHS = (10, 18, 7, 5, 8, 10, 8, 12, 7)
Row = tuple[str, ...]


def main() -> int:
    """Print the table; 0 if it has no `no`."""
    sys.stdout.write(_format(COLUMNS))
    is_good = True
    with tempfile.TemporaryDirectory() as directory:
        for row in _rows(Path(directory)):
            sys.stdout.write(_format(row))
            sys.stdout.flush()
            is_good &= "no" not in row
    return 0 if is_good else 1


def _format(row: Row) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, WIDTHS, strict=True)).rstrip() + "\n"


def _rows(directory: Path) -> Iterator[Row]:
    original = find_python("2.7")
    if original is not None:
        yield _investigation("original", original, directory)
    yield _investigation("today", describe_python(Path(sys.executable)), directory)
    for interpreter in find_interpreters():
        seen = _run(interpreter, "swallows.py", directory)
        printed = read_printed(seen.stderr)
        for case in CASES:
            yield _row(case, interpreter, seen.find(case), seen.report, [one for one in printed if _tells(one, case)])


def _run(interpreter: Interpreter, program: str, directory: Path) -> Watched:
    """With gevent and hunter where they are to be had."""
    try:
        environment = environment_for(interpreter, *gevent_for(interpreter), *hunter_for(interpreter))
    except EnvironmentFailedError:
        environment = Environment(interpreter.path, directory)
    return watch([environment.python, TARGETS / program], directory, env=environment.env)


def _investigation(name: str, interpreter: Interpreter, directory: Path) -> Row:
    """The one exception that the finding `monkey-patch-order` is about."""
    seen = _run(interpreter, f"investigation_{name}.py", directory)
    caught = seen.report.exceptions
    return _row(name, interpreter, caught, seen.report, read_printed(seen.stderr))


def _tells(printed: Printed, name: str) -> bool:
    return printed.last.endswith(f": {name}") or f"'{name}'" in str(printed.above)


def _row(case: str, interpreter: Interpreter, found: list[Caught], report: Report, printed: list[Printed]) -> Row:
    if not found:
        return (case, interpreter.name, "no", *("-" * 6))
    caught, shown = found[0], ([one for one in printed if one.above] or printed or [Printed(None, None)])[-1]
    moment = next((one for one in report.moments if one.id == caught.moment), None)
    pause = moment.capture.pause_ms if moment else None
    return (
        case,
        interpreter.name,
        "yes",
        _say(len(found) == 1 and caught.count == 1),
        _say(caught.message == shown.above) if shown.above else "-",
        _say(caught.exception is not None and lines_of(caught.exception.traceback) == shown.lines)
        if shown.lines
        else "-",
        _stack(caught),
        _tree(report),
        f"{pause:.1f}" if pause is not None else "-",
    )


def _stack(caught: Caught) -> str:
    functions = functions_of(caught.stack)
    if caught.error is not None or len(caught.stack) < 2 or not functions[0].startswith(("PyErr_", "_PyErr_")):
        return "no"
    return "yes" if len(functions) > 1 else "bare"


def _tree(report: Report) -> str:
    if any("shutdown was not traced" in problem for problem in report.problems):
        return "-"
    return _say(any(call.calls for call in report.trace))


def _say(holds: bool) -> str:
    return "yes" if holds else "no"


if __name__ == "__main__":
    sys.exit(main())
