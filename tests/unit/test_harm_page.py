"""The tables of docs/harm.md: from what `make harm` has written, the peers' lines kept, and into their place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harm import page
from harm.run import with_peers
from pages import BEGIN, END, with_tables

HEADINGS = ["tool", "kills"]
OLD = [[HEADINGS, [["lastwords attach", 3], ["no tool", 1], ["gdb", 4]]]]


def test_what_the_peers_did_stays() -> None:
    assert with_peers([(HEADINGS, [["lastwords attach", 5]])], OLD) == [  # type: ignore[arg-type]
        (HEADINGS, [["lastwords attach", 5], ["gdb", 4]])
    ]
    assert with_peers([(["tool"], [["lastwords attach"]])], OLD) == [  # type: ignore[arg-type]
        (["tool"], [["lastwords attach"]])
    ], "of another table"


def test_the_page_has_a_place_for_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kills.json").write_text(json.dumps({"tables": OLD, "measured": [], "load": 0.5}))
    monkeypatch.setattr(page, "OUTPUT", tmp_path)
    monkeypatch.setattr(page, "find_peers", list)
    lines = list(page.format_page())
    assert "| gdb | 4 |" in lines
    assert sum(line.startswith("## ") for line in lines) == 1
    whole = with_tables(page.PAGE.read_text(), "| a |")
    assert f"{BEGIN}\n\n| a |\n\n{END}" in whole
    with pytest.raises(ValueError, match="no <!-- tables"):
        with_tables("nothing", "| a |")
