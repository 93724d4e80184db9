"""The version matrix: every interpreter, read in every way, is what it says of itself; what is not read is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import matrix
from harness import TARGETS, running
from interpreters import Interpreter, find_pypy
from needs import need


@pytest.fixture(autouse=True)
def has_gdb() -> None:
    need(matrix.has_gdb(), "gdb")


@pytest.mark.interpreters(extra=True)
def test_every_way_reads_what_it_says_of_itself(interpreter: Interpreter) -> None:
    cells = matrix.examine(interpreter.path)
    assert cells.pop("gcore") in ("ok", "no stacks")
    assert cells.pop("core") in ("ok", "-")
    assert set(cells.values()) == {"ok"}


@pytest.mark.interpreters("free_threaded", extra=True)
def test_free_threaded_is_refused(interpreter: Interpreter) -> None:
    assert set(matrix.examine(interpreter.path, is_read=False).values()) <= {"refused", "-"}


def test_pypy_is_refused() -> None:
    pypy = find_pypy()
    need(pypy, "the PyPy of `make pythons`")
    assert pypy is not None
    assert set(matrix.examine(pypy, is_read=False).values()) <= {"refused", "-"}


def test_what_differs_is_named(running_python: Interpreter, tmp_path: Path) -> None:
    """Each fact, told wrong, is seen in its cell; and whoever is read must not be refused."""
    with running([running_python.path, TARGETS / "matrix_describes.py"]) as target:
        facts = matrix.ask(target)
        found = matrix.find_facts(matrix.read_live(target, tmp_path), set(facts["stacks"]))
        assert matrix.compare(found, facts) == ""
        for name in facts:
            wrong = {**facts, name: spoil(facts[name])}
            assert matrix.judge(matrix.read_live, target, tmp_path, wrong, is_read=True) == f"differs: {name}"
    assert matrix.judge(matrix.read_live, target, tmp_path, facts, is_read=True).startswith("error: ")


def spoil(fact: object) -> object:
    """With its last part changed."""
    if isinstance(fact, dict):
        return {**fact, [*fact][-1]: "wrong"}
    assert isinstance(fact, (str, list))
    return fact[:-1]
