"""Many generated programs on one interpreter: each run, read, compared; what fails is shrunken by Hypothesis."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from deep.compare import Comparison, compare, describe
from deep.host import Host, ProgramFailedError, can_hold_interpreters
from deep.programs import PROGRAMS, Program, Rendered, features_of, render
from interpreters import Interpreter
from lastwords import library
from lastwords.capture import procfs
from lastwords.capture.kernel.facts import read_facts
from lastwords.capture.memory import CachedMemory, Memory, ReadError, open_process_memory
from lastwords.capture.stop.live import capture_process
from lastwords.cpython.interpreter import find_image, open_image
from lastwords.errors import LastwordsError
from lastwords.examine.describe import describe_process, new_moment, new_report
from lastwords.examine.read import Options, Source, read_moment
from lastwords.model import Report

Read = Callable[[int], Report]
ATTACHES = 8  # one program in so many is read as `attach` does it: running, then held, then from the copy
SHRINKS_LIMIT = 100  # programs that are tried to make a failing one smaller
FAILURES_LIMIT = 5  # then something is so wrong that more of the same do not help


def attach(pid: int) -> Report:
    """What a user of the library gets."""
    return library.attach(pid, locals=True)


def read_standing(pid: int) -> Report:
    """The same out of the live memory, in half the time: the program stands still anyway, so nothing is copied."""
    maps = procfs.read_maps(pid)
    captured = capture_process(pid, look_at_nothing, look_at_nothing)
    memory = CachedMemory(open_process_memory(pid))
    captured.memory = memory
    facts = read_facts(pid)
    report = new_report("attach")
    process = describe_process(pid, facts)
    moment = new_moment("moment-1", process.id, "attach", captured)
    report.processes.append(process)
    report.moments.append(moment)
    interp = open_image(pid, memory, find_image(pid, maps))
    read_moment(report, moment, Source(interp, captured, facts), Options(locals=True))
    return report


def look_at_nothing(memory: Memory, threads: Sequence[object]) -> None:
    pass


class ReadWrongError(AssertionError):
    """What was read is not what the program says."""


@dataclass
class Measured:
    """What came of one interpreter.

    features: how many programs have each; missing: those that none has although the release does
    failures: the shrunken program's source, file, and the differences
    """

    interpreter: str
    seed: int
    programs: int = 0
    seconds: float = 0.0
    fields: int = 0
    features: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)


class Measurement:
    """Runs programs on one interpreter until `count` distinct ones were compared."""

    def __init__(self, python: Interpreter, start: int, read: Read | None = None) -> None:
        self.python = python
        self.capabilities = can_hold_interpreters(python)
        self.read = read or self._read
        self.measured = Measured(python.name, start)
        self._digests: set[str] = set()
        self._failed: dict[str, tuple[Rendered, str]] = {}
        self._shrinks = 0
        self._reads = 0
        self._last: tuple[Rendered, str] | None = None

    def run(self, count: int) -> Measured:
        """Raises nothing for what was read wrong: it is in `failures`."""
        begun = time.monotonic()
        number = self.measured.seed
        with Host(self.python) as self.host:
            while len(self._digests) < count and len(self.measured.failures) < FAILURES_LIMIT:
                self._run_examples(count - len(self._digests), number)
                number += 1
        measured = self.measured
        measured.seconds = time.monotonic() - begun
        measured.missing = sorted(features_of(self.python.version, self.capabilities) - set(measured.features))
        return measured

    def _run_examples(self, count: int, number: int) -> None:
        @seed(number)
        @settings(
            max_examples=count + count // 5 + 2, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
        )  # fmt: skip
        @given(PROGRAMS)
        def examine(program: Program) -> None:
            self.examine(program)

        self._failed, self._shrinks = {}, 0
        try:
            examine()
        except ReadWrongError:
            assert self._last is not None
            rendered, differences = self._last
            self.measured.failures.append(
                {
                    "seed": number,
                    "differences": differences,
                    "file": rendered.file,
                    "source": rendered.source,
                    "features": rendered.features,
                }
            )

    def examine(self, program: Program) -> None:
        """One program. Raises ReadWrongError for what was read wrong."""
        rendered = render(program, self.python.version, self.capabilities)
        if rendered.digest not in self._failed and not self._is_done(rendered):
            differences = self._differences(rendered)
            if differences:
                self._failed[rendered.digest] = rendered, differences
        if rendered.digest in self._failed:  # Hypothesis asks for the smallest one again, to be sure of it
            self._last = self._failed[rendered.digest]
            raise ReadWrongError(self._last[1])

    def _is_done(self, rendered: Rendered) -> bool:
        if self._failed:
            self._shrinks += 1
        return rendered.digest in self._digests or self._shrinks > SHRINKS_LIMIT

    def _differences(self, rendered: Rendered) -> str:
        """Run, read, compare; "" where all is the same."""
        try:
            comparison = compare(self.host.stand(rendered), self.read(self.host.pid))
        except (LastwordsError, ReadError, ProgramFailedError) as error:
            self.host.end()
            return f"{type(error).__name__}: {error}"
        if comparison.differences:
            self.host.end()
            return "\n".join(describe(comparison.differences))
        self.host.go_on()
        self._count(rendered, comparison)
        return ""

    def _count(self, rendered: Rendered, comparison: Comparison) -> None:
        self._digests.add(rendered.digest)
        self.measured.programs = len(self._digests)
        self.measured.fields += comparison.fields
        self.measured.features.update(set(rendered.features))

    def _read(self, pid: int) -> Report:
        self._reads += 1
        return attach(pid) if self._reads % ATTACHES == 0 else read_standing(pid)
