"""`make verdicts ARGS=--healthy`: programs with which nothing is wrong must be called healthy, whenever one looks.

Each program of healthy_programs is started idle and under load, and read a hundred times: half of them with its
children (`attach --tree`), the others one of its processes after the other. A broken one must be found to be so.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from environments import Environment, EnvironmentFailedError, environment_for
from interpreters import CHECKOUT, Interpreter, find_python
from lastwords import library
from lastwords.collector import no_collection
from lastwords.errors import LastwordsError
from lastwords.model import Report
from lastwords.report.json_report import write_json
from verdicts.servers import REDIS, Program, Running, read_programs, started

PACKAGES = (
    "apscheduler", "celery", "django", "flask", "gevent", "gunicorn", "ipykernel", "locust", "pytest", "redis",
    "uvicorn", "watchdog",
)  # fmt: skip
SAMPLED = 4  # attaches to each program of the sample
KEPT = CHECKOUT / ".cache" / "healthy"
FEW = 5  # reports that are kept of each program
TRIES = 30  # attaches until a broken one must have been found so


@dataclass
class Looks:
    """What was found of one program in one state: `others` counts what was not expected, by its first words."""

    program: Program
    python: str
    state: str
    skipped: str = ""
    right: int = 0
    others: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether all was as it should be; of a broken one it is enough that it was found once."""
        return bool(self.skipped) or (self.right > 0 and (self.program.is_broken or not self.others))


def try_programs(names: list[str], attaches: int, python: str | None, is_sample: bool) -> int:
    """Prints the table. 1 where a program was not called what it is."""
    rows: list[Looks] = []
    programs = [program for program in read_programs(names) if program.sample or not is_sample]
    for number, program in enumerate(programs):
        one = program.pythons[number * 3 % len(program.pythons)]  # of a sample, another one for each
        for minor in [python] if python else [one] if is_sample else program.pythons:
            for state in program.states:
                rows.append(_try(program, minor, state, SAMPLED if is_sample else attaches))
                _print("\n".join(_describe(rows[-1])))
    ran = [row for row in rows if not row.skipped]
    looked = sum(len(row.seconds) for row in ran)
    alarms = sum(row.others.total() for row in ran if not row.program.is_broken)
    _print(f"\n{len(ran)} of {len(rows)} programs and states, {looked} attaches, {alarms} of them wrong")
    return 0 if ran and all(row.is_good for row in rows) else 1


def _try(program: Program, minor: str, state: str, attaches: int) -> Looks:
    looks = Looks(program, minor, state)
    opened = _open(program, minor)
    if isinstance(opened, str):
        looks.skipped = opened
        return looks
    with tempfile.TemporaryDirectory(prefix="lastwords-healthy-") as name:
        try:
            with started(program, state, opened, Path(name)) as running:
                if state == "busy":
                    with running.load():
                        _look(running, looks, attaches)
                else:
                    _look(running, looks, attaches)
        except (OSError, TimeoutError) as error:
            looks.others[str(error)] += 1
    return looks


def _open(program: Program, minor: str) -> Environment | str:
    interpreter = find_python(minor)
    if interpreter is None:
        return f"no Python {minor} here"
    if program.redis and not REDIS.exists():
        return f"no {REDIS} here: install redis-tools"
    try:
        return _environment(program, interpreter)
    except EnvironmentFailedError as error:
        return str(error)


def _environment(program: Program, interpreter: Interpreter) -> Environment:
    if program.packages:
        return environment_for(interpreter, *PACKAGES)
    return Environment(interpreter.path, interpreter.path.parent)


def _look(running: Running, looks: Looks, attaches: int) -> None:
    """Attaches; to what is broken until it is found."""
    for number in range(TRIES if looks.program.is_broken else attaches):
        began = time.monotonic()
        said = _attach(running, number)
        looks.seconds.append(time.monotonic() - began)
        if said in looks.program.expected:
            looks.right += 1
            if looks.program.is_broken:
                return
        elif said is not None:
            looks.others[said] += 1


def _attach(running: Running, number: int) -> str | None:
    """What was found: the expected code; or codes and titles of all that was; None of a child that had ended."""
    processes = list(_processes(running.process.pid))
    is_tree = number % 2 == 0 or not processes
    pid = running.process.pid if is_tree else processes[number // 2 % len(processes)]
    try:
        with no_collection():
            report = library.attach(pid, tree=is_tree)
    except LastwordsError as error:
        return f"no report: {error}" if _is_there(pid) else None
    codes = [one.code for one in report.findings]
    if codes and codes[0] in running.program.expected and (len(codes) == 1 or running.program.is_broken):
        return codes[0]
    _keep(report, f"{running.program.name}-{running.state}")
    return "; ".join(f"{one.code} ({one.certainty}) {one.title}" for one in report.findings) or "nothing at all"


def _is_there(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _processes(pid: int) -> Iterator[int]:
    """The program's Python processes: those that run the same file."""
    try:
        first = psutil.Process(pid)
        for one in (first, *first.children(recursive=True)):
            try:
                if one.exe() == first.exe():
                    yield one.pid
            except psutil.Error:
                continue
    except psutil.Error:
        return


def _keep(report: Report, name: str) -> None:
    """For whoever wants to know why; of each program the first few."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for number in range(FEW):
        path = KEPT / f"{name}.{number}.json"
        if not path.exists():
            write_json(report, str(path))
            return


def _describe(looks: Looks) -> Iterator[str]:
    head = f"{looks.program.name:26} {looks.python:5} {looks.state:5}"
    if looks.skipped:
        yield f"{head} skipped: {looks.skipped}"
        return
    expected = "healthy" if not looks.program.is_broken else " or ".join(looks.program.expected)
    middle = sorted(looks.seconds)[len(looks.seconds) // 2] if looks.seconds else 0.0
    yield f"{head} {looks.right:4} of {len(looks.seconds):4} {expected:12} {middle:.1f} s each"
    if not looks.is_good or not looks.program.is_broken:
        for said, count in looks.others.most_common():
            yield f"    {count:4} x {said[:300]}"


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
