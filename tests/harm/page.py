"""`make performance`: puts the tables of the last `make harm` into docs/harm.md, between its two marks."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator

from harm.peers import OURS, find_peers, versions
from harm.run import OUTPUT, PARTS, format_table
from interpreters import CHECKOUT

PAGE = CHECKOUT / "docs" / "harm.md"
BEGIN, END = "<!-- tables: make performance -->", "<!-- end of tables -->"
TITLES = {
    "kills": "SIGKILL to a tool while it looks at a server under load",
    "freezes": "SIGSTOP to lastwords",
    "attaches": "What the clients of a server notice",
    "calls": "System calls that wait, while a tool looks three times",
    "signals": "Signals that come while a tool looks",
    "stages": "Ends of lastwords at each stage of its work",
}


def format_page() -> Iterator[str]:
    """The lines between the marks. What was not measured is not there."""
    tools = ", ".join(versions([*OURS, *find_peers()]))
    yield f"Linux {platform.release()}, {os.cpu_count()} processors, with {tools}."
    for part in PARTS:
        kept = OUTPUT / f"{part}.json"
        if kept.exists():
            found = json.loads(kept.read_text())
            yield ""
            yield f"## {TITLES[part]}"
            yield ""
            yield f"`ARGS='--only {part}'`; load average before: {found['load']:.1f}."
            for headings, lines in found["tables"]:
                yield from format_table((headings, lines))


def with_tables(page: str, tables: str) -> str:
    """The page with these tables. Raises ValueError where it has no place for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} and {END} in {PAGE.name}")
    return f"{before}{begin}\n\n{tables}\n\n{end}{after}"


def main() -> int:
    """2 where there was no `make harm`."""
    if not OUTPUT.exists():
        sys.stderr.write(f"no {OUTPUT}: make harm\n")
        return 2
    PAGE.write_text(with_tables(PAGE.read_text(), "\n".join(format_page())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
