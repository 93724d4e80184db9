"""`make trace`: the original investigation and one of today, each by `lastwords run`, on the real thing.

    original   CPython 2.7, gevent 1.0.2, hunter 3.3.8: `threading` imported before gevent patches it
    today      the CPython that runs this, the newest gevent and hunter: a thread older than the patch

Reports are kept as JSON in .cache/trace.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from environments import Environment, EnvironmentFailedError, environment_for, gevent_for, hunter_for
from interpreters import CHECKOUT, Interpreter, describe_python, find_python

REPORTS = CHECKOUT / ".cache" / "trace"
PROGRAMS = Path("tests") / "targets"
LASTWORDS = Path(".venv") / "bin" / "lastwords"
NO_ORIGINAL = (
    "The original case needs a python2.7 (on PATH, under pyenv, or in LASTWORDS_PYTHONS) and there is none: "
    "left out. One way to get it: pyenv install 2.7.18\n"
)
NO_INDEX = (
    "Is a package index in reach? Connect the machine, or name its mirror to pip (PIP_INDEX_URL or pip.conf), "
    "and run make again.\n"
)


def main() -> int:
    """Run both; 0 if every investigation that this machine can do ended in a report with a finding."""
    started = time.monotonic()
    original = find_python("2.7")
    cases = (("original", original), ("today", describe_python(Path(sys.executable))))
    try:
        environments = _prepare([one for _, one in cases if one])
    except EnvironmentFailedError as error:
        sys.stderr.write(f"make trace: gevent and hunter could not be installed for {error}\n{NO_INDEX}")
        return 1
    sys.stderr.write(f"environments ready after {time.monotonic() - started:.2f} s\n")
    if not original:
        sys.stderr.write(NO_ORIGINAL)
    results = [_investigate(name, one, environments[one]) for name, one in cases if one]
    return 0 if all(results) else 1


def _prepare(interpreters: list[Interpreter]) -> dict[Interpreter, Environment]:
    """Their environments with gevent and hunter; on 2.7 both are compiled, which takes a minute the first time."""

    def prepare(one: Interpreter) -> Environment:
        return environment_for(one, *gevent_for(one), *hunter_for(one))

    with ThreadPoolExecutor() as pool:
        return dict(zip(interpreters, pool.map(prepare, interpreters), strict=True))


def _investigate(name: str, interpreter: Interpreter, environment: Environment) -> bool:
    """One case, its report on the terminal and as JSON. Whether lastwords found something (its exit code is 70)."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    document = (REPORTS / f"{name}.json").relative_to(CHECKOUT)
    program = PROGRAMS / f"investigation_{name}.py"
    options = ["--fail-on", "finding", "--json", str(document), "--text", "-"]
    command = [str(LASTWORDS), "run", *options, "--", str(environment.python), str(program)]
    shown = [*(f"{key}={value}" for key, value in environment.env.items()), *command]
    version = ".".join(map(str, interpreter.version))
    sys.stdout.write(f"\n=== the {name} case, on CPython {version}\n$ {shlex.join(shown)}\n")
    sys.stdout.flush()
    code = subprocess.run(command, cwd=CHECKOUT, env={**os.environ, **environment.env}, check=False).returncode
    if code != 70:
        sys.stderr.write(f"make trace: the {name} case ended with {code}, not with a finding (70)\n")
    return code == 70


if __name__ == "__main__":
    sys.exit(main())
