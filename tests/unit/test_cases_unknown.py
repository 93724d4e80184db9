"""No case is known by its name: what the programs of tests/verdicts call things is nowhere in the package's strings."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastwords.diagnose import DIAGNOSES
from verdicts.case import OWN

PACKAGE = Path(__file__).resolve().parents[2] / "tools" / "lastwords"
PARTS = ("diagnose", "examine", "greenlets", "cpython", "asyncio_tasks", "report")
LONG = 6  # characters: shorter names are everybody's
# Names that cases share with the libraries that they use: modules, attributes of Python's, gevent's and asyncio's.
LIBRARY = frozenset(sys.stdlib_module_names) | {
    "callback",
    "finalizer",
    "handle",
    "handler",
    "loader",
    "number",
    "started",
}
LIBRARY |= {"_waiters"}


def read_names(source: str) -> Iterator[str]:
    """What a program calls its functions, classes, arguments and variables, and the texts that are in it."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.Constant(value=str(text)) if re.fullmatch(r"\S+", text):
                yield text


def find_names() -> dict[str, str]:
    """By name, the case that has it; names of folders and files, too."""
    found: dict[str, str] = {}
    ours = LIBRARY | set(read_names((PACKAGE / "model.py").read_text()))  # what reports call things
    for path in OWN.glob("*/*.py"):
        names = {path.stem, path.name, path.parent.name, *read_names(path.read_text())}
        found |= {name: path.parent.name for name in names if len(name) >= LONG and name not in ours}
    return {name: case for name, case in found.items() if name not in DIAGNOSES and not name.startswith("__")}


def read_strings(source: str) -> Iterator[str]:
    """The words of string constants, as a comparison would have them; prose counts only by its compound names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_prose = " " in node.value
            yield from (word for word in re.split(r"[^\w.-]+", node.value) if not is_prose or "_" in word)


def find_known(names: dict[str, str], source: str) -> dict[str, str]:
    """The names that a source knows, with the case of each."""
    words = set(read_strings(source))
    return {name: case for name, case in names.items() if name in words}


@pytest.mark.parametrize("part", PARTS)
def test_no_name_of_a_case_is_in_the_package(part: str) -> None:
    names = find_names()
    assert len(names) > 100
    for path in (PACKAGE / part).rglob("*.py"):
        assert find_known(names, path.read_text()) == {}, path


def test_a_name_would_be_found() -> None:
    names = find_names()
    name = "buffer_lock"
    assert name in names
    for source in (f"found = name == {name!r}", f"re.match('.*({name}|other)', text)", f"f'waits for {{x}} {name}'"):
        assert find_known(names, source) == {name: names[name]}
    assert find_known(names, f'"""Not {name.replace("_", " ")}."""\n{name} = 1') == {}
