"""`lastwords trace`: the interpreter's shutdown as hunter sees it, without a debugger."""

from __future__ import annotations

import os
from dataclasses import dataclass

import click

from lastwords.capture.launch import end_as
from lastwords.capture.watched import watch
from lastwords.cli.commands import help_settings
from lastwords.cli.output import print_bytes, print_messages, verbosity, verbosity_options
from lastwords.diagnose import diagnose
from lastwords.model import Report
from lastwords.report.chrome_trace import chrome_trace
from lastwords.report.json_report import encode, write_file, write_json
from lastwords.report.tree import format_trace

STDOUT = "-"
EPILOG = """
\b
Examples:
  lastwords trace -- python app.py
  lastwords trace --chrome trace.json -- python app.py
  (open trace.json at https://ui.perfetto.dev)
"""


@dataclass(frozen=True)
class TraceFiles:
    """Where the trace goes: paths, or `-` for stdout; with none of them, the tree goes to stderr."""

    json: str | None
    chrome: str | None
    text: str | None


@click.command(epilog=EPILOG, context_settings=help_settings(allow_interspersed_args=False))
@click.option("--json", "json_file", metavar="FILE", help="Write the report as JSON (- is stdout).")
@click.option("--chrome", "chrome_file", metavar="FILE", help="Write Chrome trace JSON, for Perfetto (- is stdout).")
@click.option("--text", "text_file", metavar="FILE", help="Write the tree to a file (- is stdout).")
@verbosity_options
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def command(program: tuple[str, ...], json_file: str | None, chrome_file: str | None, text_file: str | None) -> None:
    """Run PROGRAM and trace threading._shutdown and the atexit callbacks with hunter.

    hunter must be installed for the Python that runs PROGRAM. Ends as the program ends.
    """
    watched = watch(program, os.environ)
    watched.report.findings = diagnose(watched.report)
    _write(watched.report, TraceFiles(json_file, chrome_file, text_file))
    end_as(watched.ended)


def _write(report: Report, files: TraceFiles) -> None:
    if files.json == STDOUT:
        print_bytes(encode(report))
    elif files.json:
        write_json(report, files.json)
    if files.chrome:
        _write_to(files.chrome, chrome_trace(report))
    if files.text:
        _write_to(files.text, "".join(f"{line}\n" for line in _lines(report)).encode())
    if not (files.json or files.chrome or files.text) and (report.trace or verbosity() >= 0):
        print_messages(_lines(report))
    elif files.json or files.chrome or files.text:
        print_messages(f"lastwords: {problem}" for problem in report.problems)


def _write_to(file: str, content: bytes) -> None:
    if file == STDOUT:
        print_bytes(content)
    else:
        write_file(file, content)


def _lines(report: Report) -> list[str]:
    """The tree of each process, and what could not be seen."""
    lines = []
    for process in report.processes:
        calls = [call for call in report.trace if call.process == process.id]
        if calls:
            lines += [f"Shutdown of process {process.pid}, as hunter saw it", *format_trace(calls)]
    if not lines:
        lines = [_nothing(report)]
    return lines + [f"lastwords: {problem}" for problem in report.problems]


def _nothing(report: Report) -> str:
    main = report.processes[0]
    if not any(process.executable for process in report.processes):
        return f"lastwords: nothing was traced; the agent: {main.agent}"
    if report.problems:
        return "lastwords: nothing was traced"
    return "lastwords: nothing was traced: the program did not import threading, or did not end by itself"
