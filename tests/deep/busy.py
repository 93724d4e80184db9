"""A target that never stands still: whatever is read of it must be something that can have been."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from harness import target_running
from interpreters import Interpreter as Python
from lastwords import library
from lastwords.frames import python_frames
from lastwords.model import Frame, Report

Attach = Callable[[int], Report]
THREADS = 8
ENTRY = "run_for_ever"
FAILURES_LIMIT = 10
NOT_CAPTURED = "were not captured"  # the report says that something beside the stacks is missing


@dataclass(frozen=True)
class CallGraph:
    """All (caller, callee, line) of the target's file, and the first and last line of each function."""

    file: str
    edges: frozenset[tuple[str, str, int]]
    functions: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, facts: dict[str, Any]) -> CallGraph:
        """From what the target says."""
        return cls(
            facts["file"],
            frozenset((caller, callee, line) for caller, callee, line in facts["edges"]),
            {name: (first, last) for name, first, last in facts["functions"]},
        )

    def find_impossible(self, stack: list[Frame]) -> Iterator[str]:
        """What cannot be in a stack, innermost frame first."""
        own = [frame for frame in stack if frame.file == self.file]
        for frame in own:
            first, last = self.functions.get(frame.function or "", (0, 0))
            if not first <= (frame.line or 0) <= last:
                yield f"{frame.function} at line {frame.line}, outside of {first} to {last}"
        for callee, caller in pairwise(own):
            edge = caller.function or "", callee.function or "", caller.line or 0
            if edge not in self.edges:
                yield f"{edge[0]} calls {edge[1]} at line {edge[2]}"
        if own and own[-1].function != ENTRY:
            yield f"the outermost function is {own[-1].function}"
        if own and stack[: len(own)] != own:
            yield f"functions of the target under others: {[frame.function for frame in stack]}"


@dataclass
class Busy:
    """What many attaches came to.

    partial counts stacks without a frame of the target's own; gaps reports that say that pages were not captured
    """

    interpreter: str
    attaches: int = 0
    frames: int = 0
    partial: int = 0
    gaps: int = 0
    seconds: float = 0.0
    functions: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)


def has_failed_often(busy: Busy) -> bool:
    """Whether more attaches would not tell more."""
    return len(busy.failures) >= FAILURES_LIMIT


def attach_again_and_again(
    python: Python,
    count: int,
    attach: Attach = library.attach,
    is_enough: Callable[[Busy], bool] = has_failed_often,
) -> Busy:
    """`count` attaches in a row to a target of eight busy threads, each checked; fewer once it is enough."""
    busy = Busy(python.name)
    begun = time.monotonic()
    with target_running(python, "deep_busy.py") as target:
        graph = CallGraph.of(json.loads(target.wait_for("facts ").removeprefix("facts ")))
        while busy.attaches < count and not is_enough(busy):
            busy.attaches += 1
            _check(busy, graph, attach(target.pid))
    busy.seconds = time.monotonic() - begun
    return busy


def _check(busy: Busy, graph: CallGraph, report: Report) -> None:
    working = [thread for thread in report.threads if thread.ident and not thread.is_main]
    found: list[str] = [] if len(working) == THREADS else [f"{len(working)} threads"]
    problems = report.moments[0].capture.problems
    found += [one for one in problems if not one.endswith(NOT_CAPTURED)]
    busy.gaps += any(one.endswith(NOT_CAPTURED) for one in problems)
    for thread in working:
        found += [thread.error] if thread.error else []
        stack = python_frames(thread.stack)
        found += graph.find_impossible(stack)
        busy.frames += len(stack)
        busy.partial += not any(frame.file == graph.file for frame in stack)
        busy.functions.update(frame.function or "" for frame in stack)
    busy.failures += [f"attach {busy.attaches}: {one}" for one in found]
