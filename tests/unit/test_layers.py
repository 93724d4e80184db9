"""Which part of lastwords knows which: docs/design.md's arrows point down only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "tools" / "lastwords"
# What has no part of its own: the model and what is said of it, errors, numbers and names.
PLAIN = {"model", "frames", "loop_exit", "errors", "signals", "hexversion", "__version__"}
KNOWS = {
    "diagnose": PLAIN | {"collector"},
    "report": PLAIN,
    "capture": PLAIN | {"collector"},
    "cpython": PLAIN | {"capture"},
    "greenlets": PLAIN | {"capture", "cpython", "native"},
    "native": PLAIN | {"capture", "cpython", "cache"},
}


def imported(source: str) -> Iterator[str]:
    """The parts of lastwords that a file imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "lastwords":
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from [(node.module or "").split(".")[1]] if (node.module or "").startswith("lastwords.") else []
        elif isinstance(node, ast.Import):
            yield from (one.name.split(".")[1] for one in node.names if one.name.startswith("lastwords."))


@pytest.mark.parametrize("part", KNOWS)
def test_a_part_knows_what_is_below_it(part: str) -> None:
    files = sorted((PACKAGE / part).rglob("*.py"))
    assert files
    found = {(one, str(file.relative_to(PACKAGE))) for file in files for one in imported(file.read_text())}
    assert {item for item in found if item[0] not in KNOWS[part] | {part}} == set()


def test_each_way_of_importing_is_seen() -> None:
    source = (
        "import lastwords.cli\nfrom lastwords import watch, model\ndef f():\n    from lastwords.examine.read import x\n"
    )
    assert list(imported(source)) == ["cli", "watch", "model", "examine"]
