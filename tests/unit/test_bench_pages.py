"""The tables of docs/performance.md: from what a bench has written, and into the place that the page has for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
from bench_pause import format_document
from page import PAGE

from pages import BEGIN, END, with_tables


def cost(pause: float, size: int = 0) -> dict[str, float]:
    return {"pause": pause, "wall": 0.25, "peak": 60, "size": size}


DOCUMENT = {
    "runs": 3, "load": [0.1, 0.2], "processors": 2, "kernel": "6.1", "python": "3.11.7", "versions": ["gdb 13"],
    "threads": {"20": {"lastwords attach": [cost(1), cost(9), cost(2)], "no tool": [cost(0.5)]}},
    "heaps": {"50": {}, "500": {"lastwords snapshot": [cost(1, 2_000_000)], "gcore": [cost(0, 600_000_000)]}},
}  # fmt: skip


def test_medians_and_maxima() -> None:
    lines = list(format_document(DOCUMENT))
    assert "| lastwords attach | 2.0 (9.0) | 0.25 (0.25) | 60 (60) |" in lines
    assert "| tool | heap of 500 MB: pause, ms | heap of 500 MB: peak, MB |" in lines, "none of 50 MB was measured"
    assert "A snapshot at 500 MB: 2.00 MB; gcore's core: 600 MB, 300 x." in lines


def test_the_page_has_a_place_for_them() -> None:
    page = with_tables(PAGE.read_text(), "| a |")
    assert with_tables(page, "| b |") == page.replace("| a |", "| b |")
    assert f"{BEGIN}\n\n| a |\n\n{END}" in page
    with pytest.raises(ValueError, match="no <!-- tables"):
        with_tables("nothing", "| a |")
