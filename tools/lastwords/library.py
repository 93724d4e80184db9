"""lastwords as a library: what `attach`, `core` and `report` do, without a command line. Nothing is printed."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from lastwords.diagnose import diagnose
from lastwords.errors import SetupError
from lastwords.examine import Options, attach_process
from lastwords.examine.core import read_core_report
from lastwords.examine.tree import attach_tree
from lastwords.model import Report
from lastwords.report.json_report import decode

JSON_BEGINS = (b"{", b"[", b" ", b"\n", b"\t", b"\r")
AnyPath = str | os.PathLike[str]


def attach(pid: int, *, locals: bool = False, pause: bool = True, tree: bool = False) -> Report:
    """What every thread of the process is doing now, judged. No code runs in it.

    locals: read local variables, too; pause: stop it for milliseconds while its memory is read;
    tree: all processes below it, too, at nearly the same moment.
    Raises errors.TargetError (no such process, not Python), errors.SetupError (no permission).
    """
    report = (attach_tree if tree else attach_process)(pid, Options(locals=locals), pause=pause)
    report.findings = diagnose(report)
    return report


def load(path: AnyPath, executable: AnyPath | None = None, *, locals: bool = False) -> Report:
    """The report in a file, or of a core file, judged. `executable` is whose core it is, where that is not told.

    Raises errors.TargetError (neither of them, damaged), errors.SetupError (cannot be opened, binaries missing).
    """
    file = Path(path)
    try:
        report = _load_report(file)
    except OSError as error:
        raise SetupError(f"cannot read {file}: {error.strerror}", f"ls -l {shlex.quote(str(file))}") from error
    if report is None:
        report = read_core_report(file, Path(executable) if executable else None, Options(locals=locals))
    report.findings = diagnose(report)
    return report


def _load_report(file: Path) -> Report | None:
    """The saved report; None where the file is something else."""
    with file.open("rb") as opened:
        begins = opened.read(1)
    return decode(file.read_bytes(), str(file)) if begins in JSON_BEGINS else None
