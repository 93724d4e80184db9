"""`lastwords gdb`: an interactive gdb with what lastwords reads as commands."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from lastwords.cli.commands import help_settings
from lastwords.cli.output import print_result, verbosity_options
from lastwords.errors import LastwordsError, SetupError, TargetError, UsageError
from lastwords.report.layout import Native

if TYPE_CHECKING:
    from lastwords.capture.interactive import Session
    from lastwords.capture.memory import Range
    from lastwords.examine.held import Order

NARROWEST, WIDEST = 60, 200
NATIVE: dict[str, Native] = {"--native=all": "all", "--native=none": "none"}
WITH_STACKS = ("report", "stacks", "greenlets")
EPILOG = """
\b
In gdb: lw-report, lw-stacks, lw-greenlets, lw-locks and lw-exception
\b
Examples:
  lastwords gdb 4711
  lastwords gdb core.4711
  gdb -x "$(lastwords gdb --commands)" -p 4711     a gdb of your own
"""


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.argument("target", metavar="PID|FILE", required=False)
@click.argument("executable", required=False)
@click.option("--commands", is_flag=True, help="Print the file with the commands, for a gdb of your own.")
@click.option("--serve", is_flag=True, hidden=True)
@verbosity_options
def command(target: str | None, executable: str | None, commands: bool, serve: bool) -> int | None:
    """Open a process or a core file in gdb, with commands that show what Python does in it.

    The process stands still while gdb has it, and runs on when you leave gdb. FILE may
    be compressed; EXECUTABLE is its program, where that is not in its place.
    """
    from lastwords.capture.gdb import scripts_directory  # noqa: PLC0415 (start-up time of `gdb -h`)

    script = scripts_directory() / "commands.py"
    if serve:
        _serve()
        return None
    if commands:
        print_result([str(script)])
        return None
    if target is None:
        raise UsageError("which process, or which core file?", "lastwords ps")
    return _open(_describe_process(int(target)) if target.isdecimal() else _describe_core(target, executable), script)


class _Target(msgspec.Struct, frozen=True):
    """What gdb is to open: by which command, in words, its program; `kept` is open as long as gdb needs it."""

    opening: str
    name: str
    program: str | None = None
    environ: dict[str, str] = {}
    pid: int | None = None
    kept: object = None


def _describe_process(pid: int) -> _Target:
    """Raises TargetError or SetupError where gdb would fail, or would have nothing of Python to show."""
    from lastwords.capture import procfs  # noqa: PLC0415
    from lastwords.capture.kernel.peers import describe_process  # noqa: PLC0415
    from lastwords.capture.permission import find_obstacles, read_rights, read_tracee  # noqa: PLC0415
    from lastwords.cpython.refusals import explain_gone  # noqa: PLC0415
    from lastwords.examine.process import check_process  # noqa: PLC0415

    try:
        obstacle = next(find_obstacles(read_rights(procfs.PROC, os.getpid()), read_tracee(pid)), None)
    except procfs.ProcessGoneError:
        raise explain_gone(pid) from None
    if obstacle is not None:
        raise SetupError(f"gdb may not trace process {pid}: {obstacle.fact}.", obstacle.mend)
    check_process(pid)
    return _Target(f"attach {pid}", describe_process(pid), pid=pid)


def _describe_core(file: str, executable: str | None) -> _Target:
    """Raises TargetError or SetupError where it is no core of CPython."""
    from lastwords.capture.core.compressed import find_format, unpack  # noqa: PLC0415
    from lastwords.capture.core.headers import open_regular  # noqa: PLC0415
    from lastwords.examine.core import load_core  # noqa: PLC0415

    path = Path(file).absolute()
    core = load_core(path, Path(executable) if executable else None).core
    program = executable or core.executable
    opened, kept = path, open_regular(path)
    how = find_format(kept.read(0, 8))
    if how:  # gdb reads no packed ones
        kept, _ = unpack(kept, how, str(path))
        opened = Path(f"/proc/{os.getpid()}/fd/{kept.descriptor}")
    environ = {"LASTWORDS_CORE": str(path), "LASTWORDS_OPENED": str(opened)}
    environ |= {"LASTWORDS_EXECUTABLE": str(Path(executable).absolute())} if executable else {}
    name = f"the core {file} of {' '.join(core.argv[:3]) or program}"
    is_here = program is not None and Path(program).is_file()
    return _Target(f"core-file {opened}", name, program if is_here else None, environ, kept=kept)


def _open(target: _Target, script: Path) -> int | None:
    from lastwords.capture.interactive import (  # noqa: PLC0415
        NotHeldError,
        Session,
        make_arguments,
        make_environment,
        run_interactively,
    )
    from lastwords.capture.permission import explain_refusal  # noqa: PLC0415

    ours = {"LASTWORDS_PYTHON": sys.executable, **target.environ}
    arguments = make_arguments(str(script), target.program, target.opening)
    session = Session(_find_gdb(), arguments, make_environment(os.environ, ours), target.pid)
    try:
        return run_interactively(session, _greet(target)) or None
    except NotHeldError as error:
        if target.pid is None:
            raise SetupError(f"gdb could not open {target.name}: {error}", _plainly(session)) from error
        why = explain_refusal(target.pid, str(error))
        raise SetupError(f"gdb could not attach to {target.name}: {why.fact}", why.mend) from error


def _plainly(session: Session) -> str:
    return shlex.join([session.path, *session.arguments])


def _greet(target: _Target) -> str:
    held = "" if target.pid is None else "; it stands still until you leave (quit, or detach)"
    return (
        f"gdb has {target.name}{held}.\n"
        "lw-report  lw-stacks  lw-greenlets  lw-locks  lw-exception  show what lastwords reads of it\n"
    )


def _find_gdb() -> str:
    """Raises SetupError where there is none that can be used."""
    from lastwords.capture import which_gdb  # noqa: PLC0415

    given = os.environ.get("LASTWORDS_GDB")
    found = which_gdb.find_gdb(given or None)
    if found is None:
        where = f"LASTWORDS_GDB is {given}, which is no program." if given else "There is no gdb on PATH."
        raise SetupError(where, "unset LASTWORDS_GDB" if given else which_gdb.INSTALL_GDB)
    fault = which_gdb.find_fault(found)
    if fault:
        raise SetupError(f"gdb cannot be used: {fault}.", which_gdb.INSTALL_GDB)
    return found.path


def _serve() -> None:
    """Answers one order of gdb_scripts/commands.py: JSON lines on stdin and stdout."""
    import msgspec  # noqa: PLC0415

    from lastwords.examine.held import Order  # noqa: PLC0415

    order = msgspec.json.decode(sys.stdin.readline(), type=Order)
    try:
        _answer(text=_make_text(order))
    except LastwordsError as error:
        _answer(error=f"{error.fact}{f'  ({error.help})' if error.help else ''}")


def _make_text(order: Order) -> str:
    from lastwords.diagnose import diagnose  # noqa: PLC0415
    from lastwords.examine import Options  # noqa: PLC0415
    from lastwords.examine.held import read_held  # noqa: PLC0415
    from lastwords.report.layout import Page  # noqa: PLC0415
    from lastwords.report.parts import format_part  # noqa: PLC0415

    flags = ("-v", "--all", "--locals")
    unknown = [word for word in order.words if word not in (*flags, *NATIVE)]
    if unknown:
        known = f"{', '.join(flags)}, {' and '.join(NATIVE)}"
        raise TargetError(f"lw-{order.what} knows no {unknown[0]}; there are {known}")
    native: Native = next((NATIVE[word] for word in order.words if word in NATIVE), "fold")
    options = Options(
        locals="--locals" in order.words,
        native=native != "none" and order.what in WITH_STACKS,
        native_each=native == "all",
    )
    report = read_held(order, options, _ask)
    report.findings = diagnose(report)
    width = order.width if NARROWEST <= order.width <= WIDEST else 80
    page = Page(width=width, details="-v" in order.words, native=native, each="--all" in order.words)
    return "".join(f"{line}\n" for line in format_part(report, order.what, page, order.selected))


def _ask(ranges: Sequence[Range]) -> list[bytes | None]:
    _answer(read=ranges)
    return [None if data is None else bytes.fromhex(data) for data in json.loads(sys.stdin.readline())]


def _answer(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()
