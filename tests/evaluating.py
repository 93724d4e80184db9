"""A target that evaluates what it is sent, and says where the outcome is: to compare with what is read from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from harness import Target, target_running
from interpreters import Interpreter, find_interpreters

EVALUATING = [one for one in find_interpreters() if not one.has("free_threaded")]  # that is refused by name


class Evaluator:
    """The target while it runs."""

    def __init__(self, target: Target) -> None:
        self.pid = target.pid
        self._target, self._numbers = target, count(1)

    def evaluate(self, line: str) -> tuple[int, str]:
        """The address of the outcome in the target, and what the target prints of it."""
        self._target.send_line(line)
        answer = self._target.wait_for(f"value {next(self._numbers)} ").split(" ", 2)[2]
        _, address, shown = json.loads(answer)
        return address, shown


@contextmanager
def evaluating(interpreter: Interpreter) -> Iterator[Evaluator]:
    """One in this interpreter."""
    with target_running(interpreter, "reader_evaluates.py") as target:
        yield Evaluator(target)
