"""Line tables: those of the running Python against what it says of them, the older forms against its own dis."""

from __future__ import annotations

import ast
import dis
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastwords.cpython.lines import find_position

FORMS = ["unsigned lnotab", "lnotab", "linetable", "locations"]


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


@pytest.mark.parametrize("module", [ast, dis, pytest])
def test_locations_are_those_of_co_positions(module: types.ModuleType) -> None:
    path = Path(module.__file__ or "")
    for code in codes(compile(path.read_text(), str(path), "exec")):
        for unit, (line, _, column, _) in enumerate(code.co_positions()):
            found = find_position("locations", code.co_linetable, code.co_firstlineno, unit * 2)
            assert found == (line, column), (code.co_name, unit)


# Tables as Objects/lnotab_notes.txt and PEP 626 describe them: (form, bytes, first line, {byte: line})
EXAMPLES: list[tuple[str, bytes, int, dict[int, int | None]]] = [
    ("unsigned lnotab", bytes([6, 1, 44, 5]), 1, {0: 1, 5: 1, 6: 2, 49: 2, 50: 7, 900: 7}),
    ("unsigned lnotab", bytes([0, 200, 6, 255, 0, 45]), 10, {0: 210, 6: 510}),
    ("lnotab", bytes([0, 1, 6, 0xFE, 4, 3]), 10, {0: 11, 5: 11, 6: 9, 9: 9, 10: 12}),
    ("lnotab", bytes([255, 0, 45, 1]), 1, {0: 1, 299: 1, 300: 2}),
    ("linetable", bytes([4, 1, 2, 0x80, 6, 0xFF]), 10, {0: 11, 3: 11, 4: None, 6: 10, 11: 10, 12: None}),
    ("linetable", bytes([0, 5, 254, 0, 4, 0]), 1, {0: 6, 253: 6, 254: 6, 258: None}),
]


@pytest.mark.parametrize(("form", "table", "first", "lines"), EXAMPLES)
def test_older_tables(form: str, table: bytes, first: int, lines: dict[int, int | None]) -> None:
    assert {at: find_position(form, table, first, at)[0] for at in lines} == lines


def test_a_frame_that_has_not_begun_is_at_its_first_line() -> None:
    assert find_position("unsigned lnotab", bytes([0, 1, 6, 1]), 5, -1) == (5, None)


@settings(deadline=None)
@given(form=st.sampled_from(FORMS), table=st.binary(max_size=60), lasti=st.integers(-2, 200))
def test_any_bytes_end(form: str, table: bytes, lasti: int) -> None:
    line, column = find_position(form, table, 1, lasti)
    assert line is None or isinstance(line, int)
    assert column is None or column >= 0
