"""Pages of docs/ whose tables `make performance` prints from the last run's results, between two marks."""

from __future__ import annotations

BEGIN, END = "<!-- tables: make performance -->", "<!-- end of tables -->"


def with_tables(page: str, tables: str) -> str:
    """The page with these tables. Raises ValueError where it has no place for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} and {END} in the page")
    return f"{before}{begin}\n\n{tables}\n\n{end}{after}"
