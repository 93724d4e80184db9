"""One caught exception as text: how it came, its message verbatim, both tracebacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from lastwords.model import Caught, ExceptionValue, Frame, Report
from lastwords.report.clean import clean, clean_lines
from lastwords.report.folding import is_told_with_threads
from lastwords.report.layout import Page, shorten
from lastwords.report.stacks import format_line

FEW_C_FRAMES = 16
MOST_FRAMES = 60
HOW = {
    "unraisable": "swallowed",
    "uncaught": "uncaught, the program ended by it",
    "thread": "uncaught, its thread ended by it",
    "greenlet": "uncaught, its greenlet ended by it",
    "hub": "printed by gevent's hub, which had called what failed",
    "printed": "printed and dropped",
    "fatal": "fatal error",
}
PHASES = {"running": "", "shutdown": "during the shutdown", "finalizing": "while the interpreter was finalizing"}


def format_caught(page: Page, report: Report, caught: Caught) -> Iterator[str]:
    """All that was read of one exception."""
    yield from page.wrap(_title(report, caught), hanging="  ", style=page.bold)
    if caught.message:
        yield from (f"    {line}" for line in clean_lines(caught.message.rstrip("\n")))
    if caught.exception:
        yield from format_value(page, caught.exception)
    if caught.object:
        what = caught.object.repr or f"unknown ({caught.object.missing or 'not read'})"
        yield from page.wrap(f"the object named: {shorten(what)}", "  ", hanging="    ")
    if is_told_with_threads(report, caught):
        yield "  its stack is that of its thread, above"
    else:
        yield from _format_stacks(page, caught)
    if caught.error:
        yield from page.wrap(f"not all of it could be read: {caught.error}", "  ", hanging="    ")


def _format_stacks(page: Page, caught: Caught) -> Iterator[str]:
    if caught.python_stack:
        yield page.dim("  The Python stack at that moment (innermost last):")
        yield from format_python(page, caught.python_stack)
    if caught.stack:
        yield page.dim("  The C stack at that moment (innermost first):")
        yield from _format_c(page, caught.stack)


def _title(report: Report, caught: Caught) -> str:
    thread = next((thread for thread in report.threads if thread.id == caught.thread), None)
    who = thread.name or str(thread.tid) if thread else caught.thread
    parts = [
        HOW[caught.how],
        f"in thread {who}" if who else "",
        f"in greenlet {caught.greenlet}" if caught.greenlet else "",
        PHASES[caught.phase],
        f"{caught.count} times" if caught.count > 1 else "",
    ]
    parts.append(f"while {caught.test} ran" if caught.test else "")
    return f"[{caught.id}] {', '.join(filter(None, parts))}"


def describe_caught(report: Report, caught: Caught) -> str:
    """In one line: how, where, and which exception."""
    what = f": {describe_exception(caught.exception)}" if caught.exception else ""
    return f"{_title(report, caught)}{what}"


def format_value(page: Page, exception: ExceptionValue) -> Iterator[str]:
    """Causes first, as Python prints them."""
    inner = exception.cause or exception.context
    if inner:
        yield from format_value(page, inner)
        yield page.dim(f"  {'The direct cause of' if exception.cause else 'While handling it came'}:")
    if exception.traceback:
        yield "  Traceback (most recent call last):"
        yield from format_python(page, exception.traceback)
    yield from page.wrap(describe_exception(exception), "  ", hanging="      ")
    if exception.error:
        yield from page.wrap(f"not all of it could be read: {exception.error}", "  ", hanging="    ")


def describe_exception(exception: ExceptionValue) -> str:
    """`ValueError: text`."""
    kind = (exception.type or "an exception of unknown type").removeprefix("builtins.").removeprefix("exceptions.")
    value = exception.value
    if value is None and exception.args:
        value = ", ".join(argument.repr or "?" for argument in exception.args)
    return f"{kind}: {shorten(value)}" if value else kind


def format_python(page: Page, frames: list[Frame]) -> Iterator[str]:
    """As Python's own tracebacks, the innermost frame last."""
    for frame in reversed(frames[:MOST_FRAMES]):
        yield from format_line(page, frame)
    if len(frames) > MOST_FRAMES:
        yield f"    ... and {len(frames) - MOST_FRAMES} outer frames, first"


def _format_c(page: Page, frames: list[Frame]) -> Iterator[str]:
    shown = frames if page.details else frames[:FEW_C_FRAMES]
    for number, frame in enumerate(shown):
        yield clean(f"    #{number:<2} {frame.function or '??'}{_c_place(frame)}")
    if len(shown) < len(frames):
        yield page.dim(f"    ... and {len(frames) - len(shown)} more: -v")


def _c_place(frame: Frame) -> str:
    if frame.file:
        return f" ({PurePath(frame.file).name}:{frame.line})" if frame.line else f" ({PurePath(frame.file).name})"
    library = f" in {PurePath(frame.library).name}" if frame.library else ""
    address = f" at {frame.address:#x}" if frame.address is not None and not frame.function else ""
    return f"{library}{address}{' (guessed)' if frame.guessed else ''}"
