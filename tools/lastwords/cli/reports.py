"""What `run`, `trace` and `report` share: the options that say where a report goes, and its way there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec.structs import replace

from lastwords.cli.output import print_bytes, print_messages, print_result, verbosity, wants_colour
from lastwords.diagnose import diagnose, is_healthy
from lastwords.model import Report
from lastwords.report.json_report import encode, write_file, write_json

if TYPE_CHECKING:
    from lastwords.report.layout import Native

STDOUT = "-"


class Outputs(msgspec.Struct, frozen=True):
    """Where a report goes: paths, or `-` for stdout; with neither, the text goes to `default`.

    native: which C frames the text shows; each: whether those that are alike are told one by one
    redact: whether what is the program's and the machine's own is hidden
    """

    json: str | None = None
    text: str | None = None
    fail_on: str | None = None
    default: str = "stderr"
    native: Native = "fold"
    each: bool = False
    redact: bool = False

    def exit_code(self, report: Report) -> int | None:
        """70 if `--fail-on finding` asks for it and there is one, else None."""
        return 70 if self.fail_on and not is_healthy(report) else None


def report_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --json, --text, --redact and --fail-on to a command, which gets them as one argument `outputs`."""

    @wraps(function)
    def with_outputs(
        *args: object, json_file: str | None, text_file: str | None, fail_on: str | None, redact: bool, **more: object
    ) -> object:
        return function(*args, outputs=Outputs(json_file, text_file, fail_on, redact=redact), **more)

    for option in (
        click.option("--fail-on", type=click.Choice(["finding"]), help="Exit with 70 if anything was found."),
        click.option("--redact", is_flag=True, help="Hide arguments, paths, addresses and values."),
        click.option("--text", "text_file", metavar="FILE", help="Write the report as text (- is stdout)."),
        click.option("--json", "json_file", metavar="FILE", help="Write the report as JSON (- is stdout)."),
    ):
        with_outputs = option(with_outputs)
    return with_outputs


native_option = click.option(
    "--native",
    type=click.Choice(["fold", "all", "none"]),
    default="fold",
    help="C frames: without the interpreter's own machinery (default), all of them, or none.",
)


def pause_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --no-pause and --no-interrupt to a command that reads a live process."""
    for option in (
        click.option("--no-interrupt", is_flag=True, help="Stop only threads that run, none in a system call."),
        click.option("--no-pause", is_flag=True, help="Do not stop the process; what moved meanwhile is marked."),
    ):
        function = option(function)
    return function


def each_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --all to a command that has `report_options`, above this one."""

    @click.option("--all", "each", is_flag=True, help="Show threads and greenlets that are alike one by one.")
    @wraps(function)
    def with_each(*args: object, outputs: Outputs, each: bool, **more: object) -> object:
        return function(*args, outputs=replace(outputs, each=each), **more)

    return with_each


def deliver(report: Report, outputs: Outputs) -> None:
    """Diagnoses the report and writes it where it shall go. Raises SetupError where a file cannot be written.

    With `--quiet`, a report in which nothing was found is written to the files that were named, and nowhere else.
    """
    report.findings = diagnose(report)
    if outputs.redact:
        from lastwords.report.redact import redact  # noqa: PLC0415 (only who wants it pays for it)

        report = redact(report)
    if outputs.json == STDOUT:
        print_bytes(encode(report))
    elif outputs.json:
        write_json(report, outputs.json)
    if outputs.text and outputs.text != STDOUT:
        lines = _format(report, outputs)
        write_file(outputs.text, "".join(f"{line}\n" for line in lines).encode())
    elif outputs.text or not outputs.json:
        _print(report, "stdout" if outputs.text else outputs.default, outputs)


def _print(report: Report, stream: str, outputs: Outputs) -> None:
    if verbosity() < 0 and is_healthy(report):
        return
    place = sys.stdout if stream == "stdout" else sys.stderr
    printer = print_result if stream == "stdout" else print_messages
    printer(_format(report, outputs, colour=wants_colour(place)))


def _format(report: Report, outputs: Outputs, *, colour: bool = False) -> Iterator[str]:
    from lastwords.report.text import format_report  # noqa: PLC0415 (start-up time: not for JSON alone)

    details = verbosity() > 0
    return format_report(report, colour=colour, details=details, native=outputs.native, each=outputs.each)
