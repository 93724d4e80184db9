"""Generated programs of waits, against what they say is wrong with them: no finding too few, none too many."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments import Environment, environment_for, gevent_for, hunter_for
from harness import TARGETS, Target, running, wait_until_at_rest
from interpreters import Interpreter
from lastwords import library
from lastwords.model import Finding, Report

Facts = dict[str, Any]
AT_ONCE = 8  # programs, one process each
LONG = 1.3  # seconds: diagnoses take a wait of one second for no passing one
ACTORS = ("thread", "greenlet", "task")
KINDS = {"threads": 4, "greenlets": 2, "mixed": 1, "tasks": 1}  # shares of the programs of an interpreter
GEVENT = ("greenlets", "mixed")
FIRST_WITH_TASKS = (3, 7)  # the first release whose tasks are read


@dataclass
class MeasuredVerdicts:
    """What came of some programs of one interpreter: how many of each shape, and what was told wrongly of them."""

    interpreter: str
    programs: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def measure_kinds(python: Interpreter, seed: int, count: int) -> MeasuredVerdicts:
    """About `count` programs of all kinds that the interpreter can run."""
    measured = MeasuredVerdicts(python.name)
    for kind, share in KINDS.items():
        if kind != "tasks" or (python.has("asyncio") and python.version[:2] >= FIRST_WITH_TASKS):
            seeds = range(seed, seed + max(count * share // sum(KINDS.values()), 1))
            found = measure(python.name, open_environment(python, kind), [(kind, one) for one in seeds])
            measured.programs += found.programs
            measured.shapes += found.shapes
            measured.failures += found.failures
    return measured


def open_environment(python: Interpreter, kind: str) -> Environment:
    """In which programs of that kind run. Raises EnvironmentFailedError."""
    if kind in GEVENT:
        return environment_for(python, *gevent_for(python), *hunter_for(python))
    return Environment(python.path, python.path.parent)


def measure(name: str, environment: Environment, cases: Sequence[tuple[str, int]]) -> MeasuredVerdicts:
    """The programs of these kinds and seeds."""
    measured = MeasuredVerdicts(name)
    for first in range(0, len(cases), AT_ONCE):
        _measure_some(measured, environment, cases[first : first + AT_ONCE])
    return measured


def _measure_some(measured: MeasuredVerdicts, environment: Environment, cases: Sequence[tuple[str, int]]) -> None:
    program = TARGETS / "waits_generated.py"
    with ExitStack() as stack:
        commands: list[list[str | Path]] = [[environment.python, program, str(seed), kind] for kind, seed in cases]
        targets = [stack.enter_context(running(command, env=environment.env)) for command in commands]
        facts = [_read_facts(target) for target in targets]
        time.sleep(LONG)  # all are at rest; this is how long they are seen to have been
        for (kind, seed), target, fact in zip(cases, targets, facts, strict=True):
            measured.programs += 1
            measured.shapes[f"{kind}: {fact['shape']}"] += 1
            known = compare(library.attach(target.pid), fact)
            measured.failures += [f"{kind} {seed} ({fact['shape']}): {one}" for one in known]


def _read_facts(target: Target) -> Facts:
    facts: Facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
    if facts["rest"]:
        wait_until_at_rest(target.pid, threads=facts["threads"])
    return facts


def compare(report: Report, facts: Facts) -> Iterator[str]:
    """What differs between the findings and the facts, in words."""
    found = [one for one in report.findings if one.code != "healthy"]
    codes = [one.code for one in found]
    if sorted(codes) != sorted(facts["codes"]) or codes[:1] != facts["codes"][:1]:
        yield f"{[(one.code, one.certainty, one.title) for one in found]}, not {facts['codes']}"
    elif found:
        yield from compare_first(found[0], facts)
    elif facts["healthy"] and not report.findings:
        yield "it is not called healthy"


def compare_first(found: Finding, facts: Facts) -> Iterator[str]:
    """Whom it is about, by the lines where they stand, and how sure it is."""
    if facts["certain"] is not None and (found.certainty == "certain") is not facts["certain"]:
        yield f"{found.code} is {found.certainty}"
    about = [one for one in found.subjects if one.kind in ACTORS]
    lines = {one.line for one in about if one.file == facts["file"]}
    is_right = lines - set(facts["near"]) == set(facts["lines"]) - set(facts["near"]) and lines >= set(facts["lines"])
    if facts["lines"] and not (is_right and len(lines) == len(about)):
        yield f"{found.code} is about those at {[f'{one.file}:{one.line}' for one in about]}, not {facts['lines']}"
