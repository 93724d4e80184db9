"""Runs the program of a case with lastwords: `lastwords run` where it ends, `lastwords attach` where it does not."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from environments import Environment
from verdicts.case import Case, Json, Verdict, judge
from verdicts.renamed import rename_files

LASTWORDS = (str(Path(sys.executable).with_name("lastwords")),)
LIMIT = 60.0  # seconds that lastwords may take beside the program's own time
STILL = 1.5  # seconds in which nothing runs: it hangs
SETTLE = 6.0  # seconds after which what is not still never will be: it computes, or has timers
RUNNABLE = re.compile(" [RD] ")  # it would run if the machine, or the disk, were not busy
AHEAD = 1.5  # seconds that `run` takes to start a program, at most


def try_case(case: Case, environment: Environment, *, renamed: bool = False) -> tuple[Verdict, str, float | None]:
    """(verdict, what was found or why there is no report, the seconds that lastwords took)."""
    with tempfile.TemporaryDirectory(prefix="lastwords-verdict-") as name:
        folder = Path(name)
        for path in case.folder.iterdir():
            if path.name != "case.json":
                shutil.copy(path, folder)
        if renamed:
            case = case.with_files(rename_files(folder))
        try:
            seconds, report = _report(case, environment, folder)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = (folder / "lastwords.log").read_text(errors="replace").split("\n")
            return "no report", f"{error}; {' '.join(said[-3:])}"[:160], None
    return *judge(report, case), seconds


def _report(case: Case, environment: Environment, folder: Path) -> tuple[float, Json]:
    out, began = folder / "report.json", time.monotonic()
    with (folder / "lastwords.log").open("w") as log, _started(case, environment, folder, out) as process:
        _send_signals(case, process.pid, began)
        if case.kind == "exit":
            process.wait(case.run["timeout"] + LIMIT)
        else:
            _wait_until_still(process.pid, case.run.get("settle", SETTLE))
            began = time.monotonic()
            attach = (*LASTWORDS, "attach", "--tree", "--json", str(out), str(process.pid))
            subprocess.run(attach, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=LIMIT, check=False)
        seconds = time.monotonic() - began
    report: Json = json.loads(out.read_text())
    return seconds, report


@contextmanager
def _started(case: Case, environment: Environment, folder: Path, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program, or `lastwords run` with it, in a session of its own, which is ended with the block."""
    python = str(environment.python)
    command = [
        word.replace("{py}", python).replace("{bin}", str(environment.python.parent)) for word in case.run["cmd"]
    ]
    if case.kind == "exit":
        command = [*LASTWORDS, "run", "--json", str(out), "--", *command]
    with (folder / "program.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=_variables(case, environment), stdout=log, stderr=log, start_new_session=True,
            stdin=subprocess.PIPE if case.run.get("stdin") == "pipe" else subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _variables(case: Case, environment: Environment) -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **environment.env}
    variables |= case.run.get("env", {})
    return {name: value for name, value in variables.items() if value is not None}


def _send_signals(case: Case, pid: int, began: float) -> None:
    """When the case says so: a signal has no state that could be waited for."""
    for delay, name in case.run.get("signals", ()):
        at = began + delay + (AHEAD if case.kind == "exit" else 0.0)
        time.sleep(max(0.0, at - time.monotonic()))
        os.kill(pid, signal.Signals[name])


def _wait_until_still(pid: int, settle: float) -> None:
    """Until no thread of the program and its children has run for a while; `settle` seconds at most."""
    end = time.monotonic() + settle
    before, since = _ran(pid), time.monotonic()
    while time.monotonic() < min(end, since + STILL):
        time.sleep(0.05)
        if (now := _ran(pid)) != before or any(RUNNABLE.search(one) for one in now):
            before, since = now, time.monotonic()


def _ran(pid: int) -> list[str]:
    """What the scheduler says of each thread of a process and its children: its state, how long it ran, how often."""
    found: list[str] = []
    with suppress(psutil.Error, OSError):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            for task in sorted(Path(f"/proc/{process.pid}/task").iterdir()):
                state = (task / "stat").read_text().rpartition(")")[2].split()[0]
                found.append(f"{task} {state} {(task / 'schedstat').read_text()}")
    return found
